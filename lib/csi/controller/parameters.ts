/**
 * Parameters of a StorageClass and of a VolumeAttributesClass: a closed list, so that what is
 * misspelt is told and not passed over.
 */
import { nearest } from '../../config/nearest.js';
import { CsiError } from '../errors.js';
import { checkName } from '../names.js';

type Texts = Readonly<Record<string, string>>;

/** What a volume is to be like. Null: nothing was said. */
export interface Parameters {
  tenant: string | null;
  /** Only daemons whose pool is called so. */
  pool: string | null;
  /** '': none. */
  policy: string | null;
  blockBytes: 512 | 4096 | null;
  reserved: boolean | null;
  /** '': none. */
  schedule: string | null;
  tls: 'none' | 'required';
}

/** Those that can change while a volume lives. */
export type MutableParameters = Pick<Parameters, 'policy' | 'schedule'>;

/** Tenant of those who name none; there from the beginning. */
export const defaultTenant = 'default';

/** CSI: a map has 4 KiB at most ("Size Limits"). */
const maxMapBytes = 4096;

/** Names of the claim and its like, which the provisioner adds for those who want them. */
const told = 'csi.storage.k8s.io/';

const mutable = ['policy', 'schedule'] as const;
const known = ['tenant', 'pool', ...mutable, 'blockSize', 'reserve', 'replicas', 'tls'] as const;

/**
 * What was asked for at creation; `mutableParameters` are stronger.
 *
 * @throws CsiError INVALID_ARGUMENT naming the parameter.
 */
export function parseParameters(parameters: Texts, mutableParameters: Texts): Parameters {
  checkKeys('parameter', parameters, known);
  checkKeys('mutable parameter', mutableParameters, mutable);
  const all: Texts = { ...parameters, ...mutableParameters };
  if (all['replicas'] !== undefined && all['replicas'] !== '1') {
    throw new CsiError(
      'INVALID_ARGUMENT',
      `parameter replicas is '${all['replicas']}'; Ashlar does not replicate volumes yet, so it ` +
        "can only be '1'",
    );
  }
  const blockSize = oneOf('blockSize', all, ['512', '4096']);
  const reserve = oneOf('reserve', all, ['true', 'false']);
  return {
    tenant: nameOf('tenant', all),
    pool: nameOf('pool', all),
    ...mutableOf(all),
    blockBytes: blockSize === null ? null : blockSize === '512' ? 512 : 4096,
    reserved: reserve === null ? null : reserve === 'true',
    tls: oneOf('tls', all, ['none', 'required']) ?? 'none',
  };
}

/** Those of who says nothing but whose it is. */
export function parametersIn(tenant: string): Parameters {
  return { ...parseParameters({}, {}), tenant };
}

/** What is to change. @throws CsiError INVALID_ARGUMENT naming the parameter. */
export function parseMutable(parameters: Texts): MutableParameters {
  checkKeys('mutable parameter', parameters, mutable);
  return mutableOf(parameters);
}

/** Of snapshots and groups, which have none. @throws CsiError INVALID_ARGUMENT. */
export function parseNone(parameters: Texts): void {
  checkKeys('parameter', parameters, []);
}

/** '' is a value here: it takes away. */
function mutableOf(parameters: Texts): MutableParameters {
  const text = (key: string): string | null => {
    const value = parameters[key];
    return value === undefined || value === '' ? (value ?? null) : checkName(key, value);
  };
  return { policy: text('policy'), schedule: text('schedule') };
}

function nameOf(key: string, parameters: Texts): string | null {
  const value = parameters[key];
  return value === undefined ? null : checkName(`parameter ${key}`, value);
}

function oneOf<const V extends string>(
  key: string,
  parameters: Texts,
  values: readonly V[],
): V | null {
  const value = parameters[key];
  if (value === undefined) return null;
  const found = values.find((each) => each === value);
  if (found !== undefined) return found;
  const list = values.map((each) => `'${each}'`).join(' or ');
  throw new CsiError('INVALID_ARGUMENT', `parameter ${key} is '${value}'; it can be ${list}`);
}

function checkKeys(what: string, parameters: Texts, allowed: readonly string[]): void {
  const bytes = Object.entries(parameters).reduce(
    (sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value),
    0,
  );
  if (bytes > maxMapBytes) {
    throw new CsiError(
      'INVALID_ARGUMENT',
      `${what}s have ${bytes} bytes together, and may have ${maxMapBytes} at most`,
    );
  }
  for (const key of Object.keys(parameters)) {
    if (key.startsWith(told) || allowed.includes(key)) continue;
    const best = nearest(key, allowed);
    const which =
      best === null ? `known are: ${allowed.join(', ') || 'none'}` : `did you mean '${best}'?`;
    throw new CsiError('INVALID_ARGUMENT', `${what} '${key}' is not known; ${which}`);
  }
}
