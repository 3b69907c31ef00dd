/** Exports and imports by name: what is refused, what goes on, and what is left behind. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { snapshotKind, volumeKey, volumeKind } from '../../lib/catalog/kinds.js';
import type { AshlarError } from '../../lib/errors.js';
import { encodeHeader } from '../../lib/stream/format.js';
import { StreamReader } from '../../lib/stream/reader.js';
import { StreamService } from '../../lib/stream/streams.js';
import type { DifferenceOptions } from '../../lib/stream/types.js';
import { findSnapshot } from '../../lib/volumes/references.js';
import { ControlBench } from '../volumes/control_bench.js';
import { DataLayers } from './data_layers.js';
import { pieces } from './records.js';

const block = 4096;
const size = 64n * BigInt(block);
const host = 'nqn.2026-01.test:host';

/** A node's control plane, with streams, above layers in memory. */
class Side {
  readonly layers: DataLayers;
  readonly bench: ControlBench;
  readonly streams: StreamService;

  private constructor(layers: DataLayers, bench: ControlBench) {
    this.layers = layers;
    this.bench = bench;
    const { state, volumes, snapshots } = bench;
    this.streams = new StreamService({ state, pool: layers, volumes, snapshots });
  }

  static async open(layers = new DataLayers()): Promise<Side> {
    return new Side(layers, await ControlBench.open(layers));
  }

  /** As after a kill: everything but the pool is new. */
  async restart(): Promise<Side> {
    await this.bench.exports.closeAll();
    return Side.open(this.layers);
  }

  volume(name: string) {
    const found = this.bench.catalog.find(volumeKind, 'name', volumeKey(1n, name));
    return found ?? assert.fail(`there is no volume ${name}`);
  }

  /** Writes a letter a block; '0' deallocates, '.' leaves. */
  async put(name: string, at: number, letters: string): Promise<void> {
    const handle = this.bench.exports.handleOf(this.volume(name).id);
    assert.ok(handle !== null);
    for (const [index, letter] of [...letters].entries()) {
      const offset = BigInt((at + index) * block);
      if (letter === '0') await this.layers.deallocate(handle, offset, BigInt(block));
      else if (letter !== '.') await this.layers.write(handle, offset, Buffer.alloc(block, letter));
    }
  }

  async exported(snapshot: string, options: DifferenceOptions = {}): Promise<Buffer> {
    const { body } = await this.streams.export(snapshot, options);
    const out: Uint8Array[] = [];
    for await (const bytes of body) out.push(bytes);
    return Buffer.concat(out);
  }

  contents(name: string): Buffer {
    return this.layers.contents(this.volume(name).value.layer);
  }

  snapshotContents(reference: string): Buffer {
    return this.layers.contents(findSnapshot(this.bench.catalog, reference, {}).value.layer);
  }

  snapshots(name: string): string[] {
    return this.bench.snapshots.listOf(name).map((snapshot) => snapshot.name);
  }
}

/** A source with three snapshots of `a`, and an empty destination. */
async function twoSides(): Promise<{ source: Side; target: Side }> {
  const source = await Side.open();
  await source.bench.volumes.create({ name: 'a', sizeBytes: size });
  await source.put('a', 0, 'abc.def.....gh');
  await source.bench.snapshots.create('a', 'sun');
  await source.put('a', 1, 'XX0.Y');
  await source.bench.snapshots.create('a', 'mon');
  await source.put('a', 30, 'zz');
  await source.bench.volumes.resize('a', 2n * size);
  await source.put('a', 70, 'tail');
  await source.bench.snapshots.create('a', 'tue');
  return { source, target: await Side.open() };
}

/** A stream that ends or waits where the test says. */
const whole = (bytes: Buffer) => pieces(bytes, 1000);

describe('export', () => {
  it('a live volume: refused with the command to make a snapshot', async () => {
    const { source } = await twoSides();
    await assert.rejects(source.streams.export('a'), {
      code: 'invalid-argument',
      message: /'a' is a volume.*ashlar snapshot create a@NAME/,
    });
    await assert.rejects(source.streams.export('a@none'), { code: 'not-found' });
    await assert.rejects(source.streams.export('a@sun', { since: 'a@sun' }), /same snapshot/);
    await assert.rejects(source.streams.export('a@sun', { fromOffset: 5n }), /multiple of 4096/);
    await assert.rejects(source.streams.export('a@sun', { fromOffset: size * 2n }), /up to/);
  });

  it('ranges and pages of them agree, with and without a base', async () => {
    const { source } = await twoSides();
    for (const since of [undefined, 'a@sun']) {
      const all: string[] = [];
      for await (const { offsetBytes, lengthBytes, kind } of source.streams.ranges('a@mon', {
        since,
      })) {
        all.push(`${offsetBytes} ${lengthBytes} ${kind}`);
      }
      const wanted =
        since === undefined
          ? ['0 12288 data', '16384 12288 data', '49152 8192 data']
          : ['4096 8192 data', '12288 4096 zero', '20480 4096 data'];
      assert.deepEqual(all, wanted);
      const page = await source.streams.rangePage('a@mon', 1, { since });
      assert.equal(page.ranges.length, 1);
      assert.notEqual(page.nextOffsetBytes, null);
    }
  });

  it('the snapshot cannot be deleted while it is exported, and can when the reader left', async () => {
    const { source } = await twoSides();
    const { body } = await source.streams.export('a@mon', { since: 'a@sun' });
    await body.next();
    for (const snapshot of ['a@mon', 'a@sun']) {
      await assert.rejects(source.bench.snapshots.delete(snapshot), { code: 'busy' });
    }
    await body.return();
    await source.bench.snapshots.delete('a@mon');
    await source.bench.snapshots.delete('a@sun');
  });
});

describe('import', () => {
  it('full, then two differences: equal block by block, a snapshot each', async () => {
    const { source, target } = await twoSides();
    const first = await target.streams.import('b', whole(await source.exported('a@sun')));
    assert.equal(first.snapshot.reference, 'b@sun');
    assert.equal(first.kind, 'full');
    assert.ok(target.contents('b').equals(source.snapshotContents('a@sun')));
    for (const [name, since] of [
      ['mon', 'sun'],
      ['tue', 'mon'],
    ]) {
      const bytes = await source.exported(`a@${name}`, { since: `a@${since}` });
      const { snapshot } = await target.streams.import('b', whole(bytes));
      assert.equal(snapshot.reference, `b@${name}`);
      const wanted = source.snapshotContents(`a@${name}`);
      assert.ok(target.contents('b').equals(wanted), name);
      assert.ok(target.snapshotContents(`b@${name}`).equals(wanted), name);
    }
    assert.equal(target.volume('b').value.sizeBytes, 2n * size);
    assert.ok(target.snapshotContents('b@sun').equals(source.snapshotContents('a@sun')));
    assert.deepEqual(target.streams.imports(), []);
    target.bench.assertConsistent();
    // The copy can be exported on by difference, as it is called what it was imported from.
    const third = await Side.open();
    await third.streams.import('c', whole(await source.exported('a@sun')));
    const onward = await target.exported('b@mon', { since: 'b@sun' });
    await third.streams.import('c', whole(onward));
    assert.ok(third.contents('c').equals(source.snapshotContents('a@mon')));
  });

  it('what does not fit: refused by name, and nothing has changed', async () => {
    const { source, target } = await twoSides();
    const [full, mon, tue] = [
      await source.exported('a@sun'),
      await source.exported('a@mon', { since: 'a@sun' }),
      await source.exported('a@tue', { since: 'a@mon' }),
    ];
    const refuse = async (name: string, bytes: Buffer, code: string, message: RegExp) => {
      const { commits } = target.layers;
      await assert.rejects(target.streams.import(name, whole(bytes)), { code, message });
      assert.equal(target.layers.commits, commits, `${message}: something was committed`);
    };
    await refuse('b', mon, 'not-found', /'b' does not exist.*difference/);
    await refuse(
      'b',
      Buffer.from('nonsense'.repeat(100)),
      'stream-corrupt',
      /not an export stream/,
    );
    await refuse('b', full.subarray(0, 100), 'stream-corrupt', /ends within its header/);
    await refuse('b', Buffer.alloc(0), 'stream-corrupt', /empty/);
    const late = await source.exported('a@sun', { fromOffset: 16_384n });
    await refuse('b', late, 'conflict', /begins at offset 16384.*--from 0/);
    await assert.rejects(target.streams.import('b', whole(full), { sizeBytes: 4096n }), {
      code: 'invalid-argument',
      message: /too small/,
    });
    await target.streams.import('b', whole(full));
    await refuse('b', full, 'already-exists', /'b' exists already/);
    await refuse('b', tue, 'conflict', /does not have what the difference starts at.*'b@sun'/);
    await target.bench.volumes.create({ name: 'other', sizeBytes: size });
    await refuse('other', mon, 'conflict', /no snapshot of it was imported/);
    await target.put('b', 5, 'w');
    await refuse('b', mon, 'conflict', /written to \(at offset 20480\) since 'b@sun'/);
    await target.bench.snapshots.rollback('b@sun');
    await target.streams.import('b', whole(mon));
    await refuse('b', mon, 'already-exists', /imported already: it is 'b@mon'/);
  });

  it('sizes and block sizes that contradict the base: refused', async () => {
    const { source, target } = await twoSides();
    await target.streams.import('b', whole(await source.exported('a@sun')));
    const mon = await source.exported('a@mon', { since: 'a@sun' });
    const { header } = await StreamReader.open(whole(mon));
    const wrong = async (over: object, message: RegExp) => {
      const bytes = encodeHeader({ ...header, ...over });
      await assert.rejects(target.streams.import('b', whole(bytes)), { code: 'conflict', message });
    };
    await wrong({ baseSizeBytes: 2n * size }, /'b@sun' has 256KiB.*512KiB; they are not the same/);
    await wrong({ blockBytes: 512 }, /4096-byte blocks, the stream 512-byte/);
    assert.deepEqual(target.streams.imports(), []);
  });

  it('hosts: one that has the volume stops a difference; none sees it until the import is done', async () => {
    const { source, target } = await twoSides();
    await target.streams.import('b', whole(await source.exported('a@sun')));
    await target.bench.volumes.grant('b', host);
    const controller = await target.bench.connect(host);
    const mon = await source.exported('a@mon', { since: 'a@sun' });
    await assert.rejects(target.streams.import('b', whole(mon)), {
      code: 'busy',
      message: new RegExp(`host ${host}`),
    });
    assert.equal(target.bench.seenBy(controller).length, 1);
    // On another node the same host comes while the import is under way.
    const late = await Side.open();
    await late.streams.import('b', whole(await source.exported('a@sun')));
    await late.bench.volumes.grant('b', host);
    let during: number | null = null;
    let arrived: Awaited<ReturnType<ControlBench['connect']>> | null = null;
    const watched = async function* () {
      for await (const piece of pieces(mon, 200)) {
        yield piece;
        if (arrived !== null || late.streams.imports().length === 0) continue;
        arrived = await late.bench.connect(host);
        during = late.bench.seenBy(arrived).length;
      }
    };
    await late.streams.import('b', watched());
    assert.equal(during, 0);
    assert.ok(arrived !== null);
    assert.equal(late.bench.seenBy(arrived).length, 1);
  });

  it('a volume that is being imported: other changes of it are refused at once', async () => {
    const { source, target } = await twoSides();
    const full = await source.exported('a@sun');
    let go: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      go = resolve;
    });
    let reached: () => void = () => undefined;
    const half = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const slow = async function* () {
      yield full.subarray(0, full.length - 150);
      reached();
      await gate;
      yield full.subarray(full.length - 150);
    };
    const running = target.streams.import('b', slow());
    await half;
    const busy = { code: 'busy', message: /being imported to volume 'b'/ };
    await assert.rejects(target.bench.volumes.delete('b'), busy);
    await assert.rejects(target.bench.volumes.resize('b', 4n * size), busy);
    await assert.rejects(target.bench.snapshots.create('b', 'x'), busy);
    await assert.rejects(target.streams.import('b', whole(full)), busy);
    await assert.rejects(target.streams.abandon('b'), busy);
    assert.equal(target.streams.imports()[0]?.active, true);
    go();
    await running;
    await target.bench.volumes.resize('b', 4n * size);
  });

  it('cut off anywhere, the daemon killed: the same stream or the rest of it goes on', async () => {
    const { source } = await twoSides();
    const full = await source.exported('a@sun');
    const mon = await source.exported('a@mon', { since: 'a@sun' });
    for (const [bytes, snapshot, since] of [
      [full, 'a@sun', undefined],
      [mon, 'a@mon', 'a@sun'],
    ] as const) {
      for (let cut = 200; cut < bytes.length; cut += 37) {
        let target = await Side.open();
        if (since !== undefined) await target.streams.import('b', whole(full));
        const interrupted = target.streams.import('b', whole(bytes.subarray(0, cut)));
        await assert.rejects(interrupted, (error: AshlarError) => {
          assert.equal(error.code, 'stream-corrupt');
          assert.match(error.hint ?? '', /--from \d+.*--abandon/);
          return true;
        });
        target = await target.restart();
        const [unfinished] = target.streams.imports();
        assert.ok(unfinished !== undefined && !unfinished.active);
        const from = unfinished.appliedBytes;
        const rest =
          cut % 2 === 0 ? bytes : await source.exported(snapshot, { since, fromOffset: from });
        const { resumedBytes } = await target.streams.import('b', whole(rest));
        assert.equal(resumedBytes, from);
        assert.ok(target.contents('b').equals(source.snapshotContents(snapshot)), `cut ${cut}`);
        assert.deepEqual(target.streams.imports(), []);
        target.bench.assertConsistent();
      }
    }
  });

  it('cut off: another stream and a gap are refused; the volume is still hidden', async () => {
    const { source, target } = await twoSides();
    const full = await source.exported('a@sun');
    await assert.rejects(target.streams.import('b', whole(full.subarray(0, 300))));
    const other = await source.exported('a@mon');
    await assert.rejects(target.streams.import('b', whole(other)), {
      code: 'conflict',
      message: /'a@sun' is half imported to volume 'b', and this stream is another one \(a@mon\)/,
    });
    const late = await source.exported('a@sun', { fromOffset: size - 4096n });
    await assert.rejects(target.streams.import('b', whole(late)), { message: /export it --from/ });
    await target.bench.volumes.grant('b', host);
    assert.deepEqual(target.bench.seenBy(await target.bench.connect(host)), []);
    assert.deepEqual(target.snapshots('b'), []);
  });

  it('given up: a full one leaves nothing, a difference the volume as its base left it', async () => {
    const { source, target } = await twoSides();
    const full = await source.exported('a@sun');
    const layers = target.layers.layerCount;
    await assert.rejects(target.streams.import('b', whole(full.subarray(0, full.length - 20))));
    await target.streams.abandon('b');
    assert.equal(target.layers.layerCount, layers);
    assert.deepEqual(target.bench.volumes.list(), []);
    await target.streams.import('b', whole(full));
    const mon = await source.exported('a@mon', { since: 'a@sun' });
    await assert.rejects(target.streams.import('b', whole(mon.subarray(0, mon.length - 20))));
    assert.equal(target.contents('b').equals(source.snapshotContents('a@sun')), false);
    await target.streams.abandon('b');
    assert.ok(target.contents('b').equals(source.snapshotContents('a@sun')));
    assert.deepEqual(target.streams.imports(), []);
    await assert.rejects(target.streams.abandon('b'), { code: 'not-found' });
    await target.streams.import('b', whole(mon));
    assert.ok(target.contents('b').equals(source.snapshotContents('a@mon')));
    target.bench.assertConsistent();
  });

  it('the volume deleted, or rolled back, after a cut: no import is left of it', async () => {
    const { source, target } = await twoSides();
    const full = await source.exported('a@sun');
    await assert.rejects(target.streams.import('b', whole(full.subarray(0, 300))));
    await target.bench.volumes.delete('b');
    assert.deepEqual(target.streams.imports(), []);
    await target.streams.import('b', whole(full));
    assert.ok(target.contents('b').equals(source.snapshotContents('a@sun')));
  });

  it('the pool full, a failing commit at each step: the error is told, and it goes on later', async () => {
    const { source } = await twoSides();
    const full = await source.exported('a@sun');
    const mon = await source.exported('a@mon', { since: 'a@sun' });
    for (let failAt = 0; ; failAt += 1) {
      const target = await Side.open();
      target.layers.failAfter = failAt;
      const run = async () => {
        await target.streams.import('b', whole(full));
        await target.streams.import('b', whole(mon));
      };
      const failed = await run().then(
        () => false,
        (error: AshlarError) => {
          assert.equal(error.code, 'no-space');
          return true;
        },
      );
      target.layers.failAfter = null;
      if (failed) {
        const has = target.bench.volumes.list().length > 0 && target.snapshots('b').includes('sun');
        if (!has) await target.streams.import('b', whole(full));
        await target.streams.import('b', whole(mon));
      }
      assert.ok(target.contents('b').equals(source.snapshotContents('a@mon')), `commit ${failAt}`);
      assert.deepEqual(target.streams.imports(), []);
      target.bench.assertConsistent();
      if (!failed) break;
    }
  });

  it('the node closes while both ends are under way: they end, and the import goes on later', async () => {
    const { source, target } = await twoSides();
    const full = await source.exported('a@sun');
    let reached: () => void = () => undefined;
    const half = new Promise<void>((resolve) => {
      reached = resolve;
    });
    const stuck = async function* () {
      yield full.subarray(0, 300);
      reached();
      await new Promise(() => undefined);
    };
    const running = target.streams.import('b', stuck());
    const outcome = assert.rejects(running, { code: 'closed' });
    await half;
    await target.streams.close();
    await outcome;
    const { body } = await source.streams.export('a@mon');
    await body.next();
    await source.streams.close();
    assert.equal((await body.next()).done, true);
    const again = await target.restart();
    await again.streams.import('b', whole(full));
    assert.ok(again.contents('b').equals(source.snapshotContents('a@sun')));
  });

  it('names of snapshots: the own one, or one like it where it is taken', async () => {
    const { source, target } = await twoSides();
    await target.streams.import('b', whole(await source.exported('a@sun')));
    await target.bench.snapshots.create('b', 'mon');
    await target.streams.import('b', whole(await source.exported('a@mon', { since: 'a@sun' })));
    assert.deepEqual(target.snapshots('b'), ['sun', 'mon', 'mon-2']);
    const [stored] = target.bench.catalog
      .all(snapshotKind)
      .filter(({ value }) => value.name === 'mon-2');
    assert.equal(stored?.value.origin.length, 16);
  });
});
