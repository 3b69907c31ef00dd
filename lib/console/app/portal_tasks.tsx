/** What can be done with portals, and with the ANA states through them. */
import type { Portal } from '../../api/contract.js';
import { maxPort } from '../../api/limits.js';
import { AshlarError } from '../../errors.js';
import { call } from './api.js';
import { cli, plural, word } from './format.js';
import { of, wholeNumber } from './input.js';
import type { Field, Task, Values } from './task.js';

function checkAddress(text: string): void {
  if (/^(?:\d{1,3}\.){3}\d{1,3}$|^[0-9a-f:.]*:[0-9a-f:.]*(?:%\w+)?$/i.test(text)) return;
  throw new AshlarError('invalid-argument', "Give an IP address, such as '192.0.2.7'.");
}

/** `192.0.2.7`, `[2001:db8::7]:4421` */
function endpointOf(values: Values): string {
  const [address, port] = [of(values, 'address') || 'ADDRESS', of(values, 'port')];
  const host = address.includes(':') && port !== '' ? `[${address}]` : address;
  return port === '' ? host : `${host}:${port}`;
}

export function createPortal(): Task {
  return {
    title: 'Add a portal',
    verb: 'Add',
    about: <p>The target listens there from now on, also after every restart.</p>,
    fields: [
      {
        name: 'address',
        label: 'Address',
        hint: "IPv4 or IPv6 address of that machine; '0.0.0.0' or '::' for all.",
        check: checkAddress,
      },
      {
        name: 'port',
        label: 'Port',
        optional: true,
        hint: '4420 when not given, 8009 of discovery.',
        check: wholeNumber(1, maxPort),
      },
      { name: 'discoveryOnly', label: 'For discovery alone', kind: 'check' },
    ],
    cli: (values) =>
      cli(
        'portal add',
        word(endpointOf(values)),
        values['discoveryOnly'] === 'true' && '--discovery-only',
      ),
    run: async (values) => {
      const port = of(values, 'port');
      const { endpoint, problem } = await call('createPortal', {
        body: {
          address: of(values, 'address'),
          ...(port === '' ? {} : { port: Number(port) }),
          ...(values['discoveryOnly'] === 'true' ? { discoveryOnly: true } : {}),
        },
      });
      return problem === null
        ? `Portal ${endpoint} listens.`
        : `Portal ${endpoint} is added and waits: ${problem}`;
    },
  };
}

export function deletePortal({ portalId, endpoint, controllers, drained }: Portal): Task {
  const force: Field = {
    name: 'force',
    label: 'Although hosts are connected through it',
    kind: 'check',
    hint: 'Even when it is the last path of one. Drain it first, rather.',
  };
  return {
    title: `Delete portal ${endpoint}`,
    verb: 'Delete',
    loses: (
      <p>
        It listens no more, and {plural(controllers, 'connection')} through it{' '}
        {controllers === 1 ? 'ends' : 'end'}.{drained ? ' It is drained.' : ''}
      </p>
    ),
    fields: controllers > 0 && !drained ? [force] : [],
    cli: (values) =>
      cli('portal remove', String(portalId), values['force'] === 'true' && '--force'),
    run: async (values) => {
      await call('deletePortal', { params: { portal: String(portalId) }, query: forced(values) });
      return `Portal ${endpoint} is deleted.`;
    },
  };
}

const portalForce: Field = {
  name: 'force',
  label: 'Even when it is the last path of a host',
  kind: 'check',
};
const forced = (values: Values): { force?: 'true' } =>
  values['force'] === 'true' ? { force: 'true' } : {};

export function drainPortal({ portalId, endpoint, controllers }: Portal): Task {
  return {
    title: `Drain portal ${endpoint}`,
    verb: 'Drain',
    about: (
      <p>
        Hosts move their I/O to other portals at once; {plural(controllers, 'controller')} stay
        connected. Resume it when the work on it is done.
      </p>
    ),
    fields: [portalForce],
    cli: (values) => cli('portal drain', String(portalId), values['force'] === 'true' && '--force'),
    run: async (values) => {
      await call('drainPortal', {
        params: { portal: String(portalId) },
        query: forced(values),
      });
      return `Portal ${endpoint} is drained.`;
    },
  };
}

export function resumePortal({ portalId, endpoint }: Portal): Task {
  return {
    title: `Resume portal ${endpoint}`,
    verb: 'Resume',
    about: <p>Hosts may use it again, with the ANA states that were set for it.</p>,
    cli: () => cli('portal resume', String(portalId)),
    run: async () => {
      await call('resumePortal', { params: { portal: String(portalId) } });
      return `Portal ${endpoint} is used again.`;
    },
  };
}

const lasting = ['optimized', 'non-optimized', 'inaccessible', 'persistent-loss'] as const;

export function setAna(portalId: number, anagrpid: number, state: string): Task {
  const chosen = (values: Values) => lasting.find((each) => each === values['state']) ?? lasting[0];
  const group = anagrpid === 1 ? '' : `--group ${anagrpid}`;
  return {
    title: `ANA state of group ${anagrpid} through portal ${portalId}`,
    verb: 'Set',
    about: <p>Hosts are told at once and prefer better paths.</p>,
    fields: [
      {
        name: 'state',
        label: 'State',
        kind: 'choice',
        initial: state,
        options: lasting.map((each) => [each, each]),
      },
      portalForce,
    ],
    cli: (values) =>
      cli(
        'ana set',
        String(portalId),
        chosen(values),
        group,
        values['force'] === 'true' && '--force',
      ),
    run: async (values) => {
      await call('setAna', {
        params: { portal: String(portalId) },
        query: forced(values),
        body: { state: chosen(values), anagrpid },
      });
      return `Group ${anagrpid} is ${chosen(values)} through portal ${portalId}.`;
    },
  };
}
