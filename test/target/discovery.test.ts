/** What the discovery subsystem tells whom, and when it says that something else holds now. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ControllerHandle } from '../../lib/native.js';
import { Controller } from '../../lib/target/controller.js';
import { DiscoveryLog, discoveryRecords, type Referral } from '../../lib/target/discovery.js';
import { DiscoverySubsystem, discoveryKeepAlive } from '../../lib/target/discovery_subsystem.js';
import {
  maxDiscoveryControllers,
  maxDiscoveryControllersPerAddress,
  maxDiscoveryControllersPerHost,
} from '../../lib/target/limits.js';
import { discoveryNqn } from '../../lib/target/nqn.js';
import type { Portal } from '../../lib/target/portals.js';
import { decodeSqe } from '../../lib/target/sqe.js';
import { statuses } from '../../lib/target/statuses.js';
import { FakeNative } from './fake_native.js';
import { sqe } from './layout.js';

const ownNqn = 'nqn.2026-01.dev.ashlar:discovery:1';
const alice = 'nqn.2026-01.test:alice';
const bob = 'nqn.2026-01.test:bob';
const discoveryChange = 0x8000_0000;

function portal(
  portalId: number,
  address: string,
  discoveryOnly = false,
  tls: Portal['tls'] = 'none',
): Portal {
  const port = discoveryOnly ? 8009 : 4420;
  const handle = {} as Portal['handle'];
  return { portalId, address, port, discoveryOnly, drained: false, tls, handle };
}

class Bench {
  readonly native = new FakeNative();
  readonly visible = new Map<string, string[]>();
  portals = [portal(1, '10.0.0.1')];
  referrals: Referral[] = [];
  readonly subsystem: DiscoverySubsystem;
  #cntlid = 0;

  constructor(firstGeneration = 0n) {
    const options = { nqn: ownNqn, serial: 's', firstGeneration };
    this.subsystem = new DiscoverySubsystem(options, {
      discoverable: () => ({ portals: this.portals, referrals: this.referrals }),
      visibleTo: (hostnqn) => this.visible.get(hostnqn) ?? [],
      hasPsk: () => false,
    });
  }

  connect(hostnqn: string, { asyncEvents = 0, peer = '10.0.0.9:50000', katoMs = 0 } = {}) {
    this.#cntlid += 1;
    const controller = new Controller(this.native.addon(), {
      handle: { cntlid: this.#cntlid } as unknown as ControllerHandle,
      cntlid: this.#cntlid,
      kind: 'discovery',
      subsystem: null,
      subnqn: discoveryNqn,
      hostnqn,
      hostId: new Uint8Array(16),
      portalId: 1,
      peer,
      localAddress: '10.0.0.1',
      localPort: 4420,
      portalTls: 'none' as const,
      tlsIdentity: null,
      maxIoQueues: 0,
      writeThrough: false,
      keepAliveMs: katoMs,
    });
    const configuration = decodeSqe(sqe({ opcode: 9, cdw10: 0x0b, cdw11: asyncEvents }));
    // Takes effect at once; a refusal ends the run as an unhandled rejection.
    const configured = controller.features.set(configuration, null, {
      setKeepAlive: () => undefined,
      ioQueuesExist: () => false,
      visibleNsids: () => [],
      setNotificationMask: () => undefined,
      setPersistence: async () => statuses.invalidField,
    });
    void configured.then(({ status }) => assert.equal(status, 0));
    this.subsystem.add(controller);
    return controller;
  }

  /** Announces a change; resolves when whoever had to be told was told. */
  async change(): Promise<void> {
    this.subsystem.changed();
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** CNTLIDs of the controllers that were told, or whose event was cleared. */
  told(call: 'event' | 'clear'): number[] {
    const found = this.native.told.flatMap((told) => {
      const { controller } = told as { controller?: { cntlid: number } };
      return told.call === call && controller !== undefined ? [controller.cntlid] : [];
    });
    this.native.told.length = 0;
    return found;
  }

  generation(controller: Controller): bigint {
    return this.subsystem.log(controller, 0n).generation;
  }
}

describe('records', () => {
  const reached = { portalId: 1, localAddress: '10.0.0.1' };
  const brief = (record: { subtype: string; address: string; port: number; subnqn: string }) =>
    `${record.subtype} ${record.address} ${record.port} ${record.subnqn}`;

  it('every portal of every subsystem that the host may see, this service and other nodes', () => {
    const portals = [portal(1, '10.0.0.1'), portal(2, '10.0.1.1'), portal(3, '10.0.0.1', true)];
    const referrals = [{ address: '10.0.0.2', port: 8009, portalId: 7 }];
    const records = discoveryRecords(
      { portals, referrals, ownNqn },
      reached,
      ['nqn.a', 'nqn.b'],
      false,
    );
    assert.deepEqual(records.map(brief), [
      `current 10.0.0.1 4420 ${ownNqn}`,
      `current 10.0.0.1 8009 ${ownNqn}`,
      'nvm 10.0.0.1 4420 nqn.a',
      'nvm 10.0.0.1 4420 nqn.b',
      'nvm 10.0.1.1 4420 nqn.a',
      'nvm 10.0.1.1 4420 nqn.b',
      `referral 10.0.0.2 8009 ${discoveryNqn}`,
    ]);
    assert.deepEqual(
      records.map(({ portalId }) => portalId),
      [1, 3, 1, 1, 2, 2, 7],
    );
  });

  it('a drained portal: no path to volumes, and the service itself where it was reached', () => {
    const portals = [{ ...portal(1, '10.0.0.1'), drained: true }, portal(2, '10.0.1.1')];
    const records = discoveryRecords({ portals, referrals: [], ownNqn }, reached, ['nqn.a'], false);
    assert.deepEqual(records.map(brief), [
      `current 10.0.0.1 4420 ${ownNqn}`,
      'nvm 10.0.1.1 4420 nqn.a',
    ]);
  });

  it('TREQ and SECTYPE: what each portal asks of hosts', () => {
    const portals = [
      portal(1, '10.0.0.1'),
      portal(2, '10.0.0.2', false, 'allowed'),
      portal(3, '10.0.0.3', false, 'required'),
    ];
    const referrals = [{ address: '10.0.0.9', port: 8009, portalId: 0 }];
    const reached = { portalId: 1, localAddress: '10.0.0.1' };
    const fieldsFor = (hasPsk: boolean) => {
      const source = { portals, referrals, ownNqn };
      const records = discoveryRecords(source, reached, ['nqn.a'], hasPsk);
      const page = new DiscoveryLog(records, 1n).subarray(0, 1024 * 6);
      return records.map((_, index) => {
        const at = 1024 * (index + 1);
        return [page[at + 3], page[at + 768]];
      });
    };
    const [none, allowed, required] = [
      [0b100, 0],
      [0b110, 2],
      [0b101, 2],
    ];
    assert.deepEqual(fieldsFor(true), [none, none, allowed, required, [0, 0]]);
    // A host without a PSK that was told of TLS would try it, and not get in.
    assert.deepEqual(fieldsFor(false), [none, none, none, required, [0, 0]]);
  });

  it('a portal on every address: only where the host can be told one of them', () => {
    const portals = [portal(1, '10.0.0.1'), portal(2, '0.0.0.0'), portal(3, '::')];
    const source = { portals, referrals: [], ownNqn };
    const addresses = (localAddress: string | null) =>
      discoveryRecords(source, { portalId: 1, localAddress }, ['nqn.a'], false)
        .filter(({ subtype }) => subtype === 'nvm')
        .map(({ portalId, address }) => `${portalId} ${address}`);
    assert.deepEqual(addresses('10.0.0.1'), ['1 10.0.0.1', '2 10.0.0.1', '3 10.0.0.1']);
    assert.deepEqual(addresses('fe80::1'), ['1 10.0.0.1', '3 fe80::1']);
    assert.deepEqual(addresses(null), ['1 10.0.0.1']);
  });
});

describe('the generation counter', () => {
  it('stays while the host would read the same, and moves up when it would not', async () => {
    const bench = new Bench(7n);
    const a = bench.connect(alice);
    const first = bench.generation(a);
    assert.ok(first > 7n);
    await bench.change();
    assert.equal(bench.generation(a), first);
    bench.visible.set(alice, ['nqn.a']);
    const second = bench.generation(a);
    assert.ok(second > first);
    bench.visible.set(alice, []);
    assert.ok(bench.generation(a) > second, 'back to what it was: a new version all the same');
  });

  it('of one host: does not move for what others are granted', async () => {
    const bench = new Bench();
    const [a, b] = [bench.connect(alice), bench.connect(bob)];
    const [ofAlice, ofBob] = [bench.generation(a), bench.generation(b)];
    bench.visible.set(bob, ['nqn.b']);
    await bench.change();
    assert.equal(bench.generation(a), ofAlice);
    assert.ok(bench.generation(b) > ofBob);
  });

  it('a host that comes back: the same version of the same page, else another one', () => {
    const bench = new Bench();
    const first = bench.connect(alice);
    const before = bench.generation(first);
    bench.subsystem.remove(first);
    const second = bench.connect(alice);
    assert.equal(bench.generation(second), before);
    bench.subsystem.remove(second);
    bench.visible.set(alice, ['nqn.a']);
    assert.ok(bench.generation(bench.connect(alice)) > before);
  });

  it('after 5,000 other hosts, forgotten: never a version that another page had', () => {
    const bench = new Bench();
    const first = bench.connect(alice);
    const before = bench.generation(first);
    bench.subsystem.remove(first);
    for (let index = 0; index < 5000; index += 1) {
      const controller = bench.connect(`${bob}-${index}`);
      bench.subsystem.remove(controller);
    }
    bench.visible.set(alice, ['nqn.a']);
    assert.ok(bench.generation(bench.connect(alice)) > before + 4999n);
  });
});

describe('a page read in parts', () => {
  it('changed between them: the parts fit together, the header read again tells', () => {
    const bench = new Bench();
    bench.visible.set(alice, ['nqn.a', 'nqn.b']);
    const a = bench.connect(alice);
    const header = bench.subsystem.log(a, 0n);
    bench.visible.set(alice, []);
    const rest = bench.subsystem.log(a, 2048n);
    assert.equal(rest.generation, header.generation);
    assert.equal(rest.records.length, 3);
    const again = bench.subsystem.log(a, 0n);
    assert.ok(again.generation > header.generation);
    assert.equal(again.records.length, 1);
  });

  it('read with RAE cleared when there is a newer page: the event is raised again', async () => {
    const bench = new Bench();
    const a = bench.connect(alice, { asyncEvents: discoveryChange });
    bench.subsystem.log(a, 0n);
    bench.visible.set(alice, ['nqn.a']);
    await bench.change();
    assert.deepEqual(bench.told('event'), [1]);
    bench.subsystem.log(a, 1024n);
    bench.subsystem.acknowledge(a);
    assert.deepEqual(bench.told('event'), [1], 'it has read the old page');
    bench.subsystem.log(a, 0n);
    bench.subsystem.acknowledge(a);
    assert.deepEqual(bench.told('event'), []);
    await bench.change();
    assert.deepEqual(bench.told('event'), []);
  });
});

describe('the event', () => {
  it('goes to the hosts whose page changed and that asked for it, once for many changes', async () => {
    const bench = new Bench();
    bench.connect(alice, { asyncEvents: discoveryChange });
    bench.connect(bob, { asyncEvents: discoveryChange });
    bench.connect(alice);
    bench.visible.set(alice, ['nqn.a']);
    bench.subsystem.changed();
    bench.visible.set(alice, ['nqn.a', 'nqn.b']);
    await bench.change();
    assert.deepEqual(bench.told('event'), [1]);
  });

  it('a portal or a referral comes or goes: every host is told', async () => {
    const bench = new Bench();
    bench.connect(alice, { asyncEvents: discoveryChange });
    bench.connect(bob, { asyncEvents: discoveryChange });
    bench.referrals = [{ address: '10.0.0.2', port: 8009, portalId: 0 }];
    await bench.change();
    assert.deepEqual(bench.told('event'), [1, 2]);
    bench.portals = [...bench.portals, portal(2, '10.0.1.1', true)];
    await bench.change();
    assert.deepEqual(bench.told('event'), [1, 2]);
  });

  it('a portal without any volume that the host may see: no news for it', async () => {
    const bench = new Bench();
    bench.visible.set(alice, ['nqn.a']);
    bench.connect(alice, { asyncEvents: discoveryChange });
    bench.connect(bob, { asyncEvents: discoveryChange });
    bench.portals = [...bench.portals, portal(2, '10.0.1.1')];
    await bench.change();
    assert.deepEqual(bench.told('event'), [1]);
  });

  it('changed and changed back before anyone looked: none', async () => {
    const bench = new Bench();
    bench.connect(alice, { asyncEvents: discoveryChange });
    bench.visible.set(alice, ['nqn.a']);
    bench.subsystem.changed();
    bench.visible.set(alice, []);
    await bench.change();
    assert.deepEqual(bench.told('event'), []);
  });

  it('after the end: nobody is told', async () => {
    const bench = new Bench();
    bench.connect(alice, { asyncEvents: discoveryChange });
    bench.visible.set(alice, ['nqn.a']);
    bench.subsystem.changed();
    bench.subsystem.close();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(bench.told('event'), []);
  });
});

describe('who gets a discovery controller', () => {
  it('both NQNs name the discovery subsystem', () => {
    const { subsystem } = new Bench();
    assert.deepEqual(
      [discoveryNqn, ownNqn, 'nqn.2026-01.dev.ashlar:1'].map((nqn) => subsystem.isNamed(nqn)),
      [true, true, false],
    );
  });

  it('one host at its limit: busy for it, not for others', () => {
    const bench = new Bench();
    for (let index = 0; index < maxDiscoveryControllersPerHost; index += 1) {
      assert.equal(bench.subsystem.refusal(alice, '10.0.0.9:1'), null);
      bench.connect(alice);
    }
    assert.match(bench.subsystem.refusal(alice, '10.0.0.9:1')?.reason ?? '', /64.*of one host/);
    assert.equal(bench.subsystem.refusal(bob, '10.0.0.9:1'), null);
    const [first] = bench.subsystem.controllers.values();
    assert.ok(first);
    bench.subsystem.remove(first);
    assert.equal(bench.subsystem.refusal(alice, '10.0.0.9:1'), null);
  });

  it('one address under many names: busy for it, not for others', () => {
    const bench = new Bench();
    for (let index = 0; index < maxDiscoveryControllersPerAddress; index += 1) {
      bench.connect(`${alice}-${index}`, { peer: `[fe80::9]:${index}` });
    }
    assert.match(bench.subsystem.refusal(bob, '[fe80::9]:1')?.reason ?? '', /256.*of one address/);
    assert.equal(bench.subsystem.refusal(bob, '[fe80::8]:1'), null);
  });

  it('the node at its limit: busy for all', () => {
    const bench = new Bench();
    for (let index = 0; index < maxDiscoveryControllers; index += 1) {
      bench.connect(`${alice}-${index}`, { peer: `10.0.${index >> 6}.1:1` });
    }
    const reason = bench.subsystem.refusal(bob, '10.9.9.9:1')?.reason;
    assert.equal(reason, 'the node has 1024 discovery controllers, its limit');
  });

  it('KATO: honoured in whole seconds; none: two minutes, begun anew by each command', () => {
    assert.deepEqual([0, 1, 30_000].map(discoveryKeepAlive), [120_000, 1000, 30_000]);
    const bench = new Bench();
    const keepAlives = () =>
      bench.native.told.splice(0).map((told) => (told.call === 'keep-alive' ? told.timeoutMs : 0));
    bench.subsystem.active(bench.connect(alice));
    assert.deepEqual(keepAlives(), [120_000]);
    bench.subsystem.active(bench.connect(alice, { katoMs: 30_000 }));
    assert.deepEqual(keepAlives(), [], 'its Keep Alive commands keep it');
  });
});
