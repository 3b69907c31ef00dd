/** Limits as people read them. */
import type { Policy } from '../../api/contract.js';
import { count, duration, plural, size } from './format.js';

type Rates = Pick<
  Policy,
  | 'readIops'
  | 'writeIops'
  | 'iops'
  | 'readBytesPerSecond'
  | 'writeBytesPerSecond'
  | 'bytesPerSecond'
>;

/** Each limit by itself; empty: none. */
export function limitsOf(rates: Rates): string[] {
  const commands = (rate: number | null, what: string) =>
    rate === null ? [] : [`${count(rate)} ${what}/s`];
  const bytes = (rate: number | null, what: string) =>
    rate === null ? [] : [`${size(rate)}/s ${what}`];
  return [
    ...commands(rates.iops, 'commands'),
    ...commands(rates.readIops, 'reads'),
    ...commands(rates.writeIops, 'writes'),
    ...bytes(rates.bytesPerSecond, 'in all'),
    ...bytes(rates.readBytesPerSecond, 'read'),
    ...bytes(rates.writeBytesPerSecond, 'written'),
  ];
}

export const limitsText = (rates: Rates): string => limitsOf(rates).join(', ') || 'no limit';

/** '300 % for 30 s'; null: no bursts. */
export function burstText({ burstPercent, burstSeconds }: Policy): string | null {
  if (burstPercent === 100 || burstSeconds === 0) return null;
  return `${count(burstPercent)} % for ${duration(burstSeconds * 1000)}`;
}

export function usersText({ volumes, tenants }: Policy): string {
  const users = [
    ...(tenants > 0 ? [plural(tenants, 'tenant')] : []),
    ...(volumes > 0 ? [plural(volumes, 'volume')] : []),
  ];
  return users.join(', ') || 'nobody';
}
