/** What can be done with the keys of hosts: DH-HMAC-CHAP keys, and PSKs of TLS. */
import type { HostKey, Psk } from '../../api/contract.js';
import { call } from './api.js';
import { cli, tenantFlag, word } from './format.js';
import { checkNqn, of } from './input.js';
import { shownOnce } from './node_tasks.js';
import type { Field, Task, Values } from './task.js';

/** Whose key it is to be: a host is chosen, or known. */
export interface KeyOwner {
  tenants: readonly string[];
  tenant: string;
  /** Null: chosen in the dialog. */
  host: string | null;
}

const tenantOf = (values: Values, { tenant }: KeyOwner): string => of(values, 'tenant') || tenant;
const hostOf = (values: Values, { host }: KeyOwner): string => host ?? of(values, 'host');

function ownerFields({ tenants, tenant, host }: KeyOwner): Field[] {
  if (host !== null) return [];
  const options = tenants.map((name): [string, string] => [name, name]);
  return [
    ...(tenants.length < 2
      ? []
      : [{ name: 'tenant', label: 'Tenant', kind: 'choice', initial: tenant, options } as Field]),
    {
      name: 'host',
      label: 'Host NQN',
      hint: 'It is in /etc/nvme/hostnqn there.',
      check: checkNqn,
      suggest: async (typed) => {
        const nqn = typed === '' ? {} : { nqn: typed };
        const { items } = await call('listHosts', { query: { tenant, limit: '20', ...nqn } });
        return items.map((each) => each.nqn);
      },
    },
  ];
}

const given = (what: string, example: string): Field => ({
  name: 'secret',
  label: `${what} made elsewhere`,
  kind: 'secret',
  optional: true,
  hint: `Of the form '${example}'; without it a new one is made.`,
});

const keyHashes = ['sha256', 'sha384', 'sha512'] as const;
const pskHashes = ['sha256', 'sha384'] as const;
const known = <T extends string>(all: readonly [T, ...T[]], word: string | undefined): T =>
  all.find((each) => each === word) ?? all[0];

const OfHost = ({ host }: Pick<KeyOwner, 'host'>) =>
  host !== null && (
    <p>
      Of <code>{host}</code>.
    </p>
  );

export function setHostKey(owner: KeyOwner, initialRole: HostKey['role'] = 'host'): Task {
  const roleOf = (values: Values) => known(['host', 'controller'], values['role']);
  const another = owner.host !== null;
  return {
    title: another ? 'New key of a host' : 'Generate a key of a host',
    verb: 'Set the key',
    about: (
      <>
        <OfHost host={owner.host} />
        <p>
          A host with a key has to prove itself when it connects (DH-HMAC-CHAP); connections that it
          has stay. The key before stays good beside a new one, until you delete it.
        </p>
      </>
    ),
    fields: [
      ...ownerFields(owner),
      {
        name: 'role',
        label: 'Who proves itself with it',
        kind: 'choice',
        initial: initialRole,
        options: [
          ['host', 'the host'],
          ['controller', 'the controller, to the host'],
        ],
        half: true,
      },
      {
        name: 'hash',
        label: 'Hash of a new one',
        kind: 'choice',
        initial: 'sha256',
        options: keyHashes.map((hash) => [hash, hash.replace('sha', 'SHA-')]),
        half: true,
      },
      given('A key', 'DHHC-1:hh:base64:'),
      { name: 'replace', label: 'The key before is good no more', kind: 'check' },
    ],
    cli: (values) =>
      cli(
        of(values, 'secret') === '' ? 'host key generate' : 'host key set',
        word(hostOf(values, owner) || 'HOSTNQN'),
        of(values, 'secret') !== '' && '--file key.txt',
        of(values, 'secret') === '' && values['hash'] !== 'sha256' && `--hash ${values['hash']}`,
        roleOf(values) === 'controller' && '--controller',
        values['replace'] === 'true' && '--replace',
        tenantFlag(tenantOf(values, owner)),
      ),
    run: async (values) => {
      const [host, secret, role] = [hostOf(values, owner), of(values, 'secret'), roleOf(values)];
      const made = await call('createHostKey', {
        params: { host },
        query: { tenant: tenantOf(values, owner) },
        body: {
          role,
          ...(secret === '' ? { hash: known(keyHashes, values['hash']) } : { secret }),
          ...(values['replace'] === 'true' ? { replace: true } : {}),
        },
      });
      const said = `The ${role} key ${made.key.fingerprint} is set.`;
      if (made.secret === null) return said;
      return { said, show: <KeyShown role={role} host={host} secret={made.secret} /> };
    },
  };
}

function KeyShown({ role, host, secret }: { role: string; host: string; secret: string }) {
  const option = role === 'host' ? '--dhchap-secret' : '--dhchap-ctrl-secret';
  return (
    <>
      {shownOnce(`The ${role} key of ${host}`, secret)}
      <p>
        The host gives it with <code>{`nvme connect … ${option}=…`}</code>
      </p>
    </>
  );
}

export function deleteHostKey({ host, tenant, fingerprint, role }: HostKey, last: boolean): Task {
  return {
    title: `Delete key ${fingerprint}`,
    verb: 'Delete',
    loses: (
      <p>
        <code>{host}</code>{' '}
        {role === 'controller'
          ? 'can have the controller prove itself no more.'
          : last
            ? 'needs to prove itself no more: this is its last key.'
            : 'can connect with it no more. Connections that it has stay.'}
      </p>
    ),
    cli: () => cli('host key remove', word(host), fingerprint, tenantFlag(tenant)),
    run: async () => {
      await call('deleteHostKey', { params: { host, fingerprint }, query: { tenant } });
      return `Key ${fingerprint} is good no more.`;
    },
  };
}

export function setPsk(owner: KeyOwner): Task {
  return {
    title: owner.host === null ? 'Generate a PSK' : 'New PSK of a host',
    verb: 'Add the PSK',
    about: (
      <>
        <OfHost host={owner.host} />
        <p>
          With a PSK a host connects over TLS. It stands beside those that the host has; delete the
          old one when the host uses the new one.
        </p>
      </>
    ),
    fields: [
      ...ownerFields(owner),
      {
        name: 'hash',
        label: 'Hash and cipher of a new one',
        kind: 'choice',
        initial: 'sha256',
        options: [
          ['sha256', 'SHA-256, AES-128'],
          ['sha384', 'SHA-384, AES-256'],
        ],
      },
      given('A PSK', 'NVMeTLSkey-1:hh:base64:'),
    ],
    cli: (values) =>
      cli(
        of(values, 'secret') === '' ? 'host psk generate' : 'host psk set',
        word(hostOf(values, owner) || 'HOSTNQN'),
        of(values, 'secret') !== '' && 'FILE',
        of(values, 'secret') === '' && values['hash'] === 'sha384' && '--hash sha384',
        tenantFlag(tenantOf(values, owner)),
      ),
    run: async (values) => {
      const [host, psk] = [hostOf(values, owner), of(values, 'secret')];
      const made = await call('createPsk', {
        query: { tenant: tenantOf(values, owner) },
        body: { host, ...(psk === '' ? { hash: known(pskHashes, values['hash']) } : { psk }) },
      });
      const said = `PSK ${made.id} is added.`;
      if (made.psk === null) return said;
      return { said, show: <PskShown host={host} psk={made.psk} /> };
    },
  };
}

function PskShown({ host, psk }: { host: string; psk: string }) {
  return (
    <>
      {shownOnce(`The PSK of ${host}`, psk)}
      <p>
        The host takes it with <code>nvme check-tls-key --insert --keydata=…</code>, and connects
        with <code>--tls</code>.
      </p>
    </>
  );
}

export function deletePsk({ host, tenant, id }: Psk): Task {
  return {
    title: `Delete PSK ${id}`,
    verb: 'Delete',
    loses: (
      <p>
        <code>{host}</code> can connect with it no more. Connections that it has stay.
      </p>
    ),
    cli: () => cli('host psk remove', word(host), id, tenantFlag(tenant)),
    run: async () => {
      await call('deletePsk', { params: { host }, query: { tenant, id } });
      return `PSK ${id} is good no more.`;
    },
  };
}
