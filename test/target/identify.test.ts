import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type IdentifyContext, identify } from '../../lib/target/identify.js';
import { encodeIdentifyController } from '../../lib/target/identify_controller.js';
import {
  encodeIdentifyNamespace,
  encodeNamespaceDescriptors,
  powerFailAtomicBlocks,
} from '../../lib/target/identify_namespace.js';
import { decodeSqe } from '../../lib/target/sqe.js';
import { statuses } from '../../lib/target/statuses.js';
import { ascii, assertFields, le, sqe } from './layout.js';

const nguid = Uint8Array.from({ length: 16 }, (_, index) => index + 1);
const uuid = Uint8Array.from({ length: 16 }, (_, index) => 0xf0 + index);
const gib = 1n << 30n;

function context(over: Partial<IdentifyContext> = {}): IdentifyContext {
  const namespace = (nsid: number) => ({
    nsid,
    uuid,
    nguid,
    sizeBytes: 10n * gib,
    blockBytes: 4096 as const,
    anagrpid: 1,
    readOnly: false,
    usedBytes: async () => 65_536n,
  });
  return {
    kind: 'io',
    cntlid: 0x1122,
    subnqn: 'nqn.2026-01.dev.ashlar:t',
    serial: '0123456789abcdef0123',
    firmware: '0.1.0',
    writeThrough: false,
    atomicWriteBytes: 4096,
    namespaces: new Map([1, 2, 7].map((nsid) => [nsid, namespace(nsid)])),
    ownCntlids: [0x1122, 0x10],
    ...over,
  };
}

function ask(cns: number, more: { nsid?: number; cdw11?: number; cntid?: number } = {}) {
  const cdw10 = ((more.cntid ?? 0) << 16) | cns;
  const bytes = sqe({ opcode: 6, cdw10, nsid: more.nsid ?? 0, cdw11: more.cdw11 ?? 0 });
  return identify(decodeSqe(bytes), context());
}

describe('identify controller', () => {
  it('an I/O controller: every field at its place, and nothing else set', () => {
    const page = encodeIdentifyController(context());
    assert.equal(page.length, 4096);
    assert.equal(ascii(page, 4, 20), '0123456789abcdef0123');
    assert.equal(ascii(page, 24, 40), 'Ashlar'.padEnd(40));
    assert.equal(ascii(page, 64, 8), '0.1.0   ');
    const rest = page.slice();
    rest.fill(0, 4, 72);
    rest.fill(0, 768, 1024);
    assert.equal(ascii(page, 768, 25), 'nqn.2026-01.dev.ashlar:t\0');
    assertFields(
      rest,
      [
        [76, 1, 0b1011n], // CMIC
        [77, 1, 8n], // MDTS: 1 MiB
        [78, 2, 0x1122n],
        [80, 4, 0x20000n],
        [92, 4, 0x900n], // OAES: namespaces and ANA
        [96, 4, 1n],
        [111, 1, 1n],
        [258, 1, 3n],
        [259, 1, 3n],
        [260, 1, 3n],
        [261, 1, 0b10_0110n],
        [262, 1, 63n],
        [320, 2, 10n], // KAS
        [342, 1, 10n], // ANATT
        [343, 1, 0x1fn], // ANACAP
        [344, 4, 128n],
        [348, 4, 128n],
        [512, 1, 0x66n],
        [513, 1, 0x44n],
        [514, 2, 1024n],
        [516, 4, 1_048_576n],
        [520, 2, 0b1_1011_1101n], // ONCS
        [522, 2, 1n], // FUSES: Compare and Write
        [534, 2, 1n], // OCFS: format 0
        [531, 1, 0b101n], // NWPC
        [532, 2, 0n], // ACWU: one block
        [525, 1, 0b111n],
        [536, 4, 0x30_0001n],
        [540, 4, 16_384n],
        [1792, 4, 516n],
        [1796, 4, 1n],
        [1803, 1, 1n],
        [1804, 2, 1n],
      ],
      assert.equal,
    );
  });

  it('write-through: no volatile write cache is reported', () => {
    assert.equal(encodeIdentifyController(context({ writeThrough: true }))[525], 0b110);
  });

  it('a discovery controller: its type, its events, no namespaces, no capsule data', () => {
    const page = encodeIdentifyController(context({ kind: 'discovery' }));
    assert.equal(page[111], 2);
    assert.equal(le(page, 92, 4), 0x8000_0000n);
    assert.equal(le(page, 516, 4), 0n);
    assert.equal(le(page, 1792, 4), 4n);
    assert.equal(page[1806], 1);
  });
});

describe('identify namespace', () => {
  const input = {
    sizeBytes: 10n * gib,
    usedBytes: 65_536n,
    blockBytes: 4096 as const,
    anagrpid: 5,
    nguid,
    atomicWriteBytes: 4096,
    readOnly: false,
  };

  it('4,096-byte blocks: every field at its place, and nothing else set', () => {
    const page = encodeIdentifyNamespace(input);
    const rest = page.slice();
    assert.deepEqual(page.slice(104, 120), nguid);
    rest.fill(0, 104, 120);
    const blocks = (10n * gib) / 4096n;
    assertFields(
      rest,
      [
        [0, 8, blocks],
        [8, 8, blocks],
        [16, 8, 16n],
        [24, 1, 0x13n],
        [30, 1, 1n],
        [31, 1, 0xffn], // RESCAP: all six types, PTPL, IEKEY
        [33, 1, 9n],
        [68, 2, 15n], // NPDG: 64 KiB
        [70, 2, 15n],
        [72, 2, 15n], // NOWS
        [74, 2, 256n], // MSSRL: 1 MiB
        [76, 4, 4096n], // MCL: 16 MiB
        [80, 1, 127n], // MSRC
        [92, 4, 5n],
        [130, 1, 12n],
      ],
      assert.equal,
    );
  });

  it('512-byte blocks: granularities are still 4 KiB and 64 KiB', () => {
    const page = encodeIdentifyNamespace({ ...input, blockBytes: 512 });
    assert.equal(le(page, 0, 8), (10n * gib) / 512n);
    assert.equal(le(page, 16, 8), 128n);
    const fields = [34, 36, 38, 40, 44, 64, 66, 68, 70, 72].map((offset) =>
      Number(le(page, offset, 2)),
    );
    assert.deepEqual(fields, [7, 7, 7, 7, 7, 7, 7, 127, 127, 127]);
    assert.deepEqual([le(page, 74, 2), le(page, 76, 4), page[80]], [2048n, 32_768n, 127]);
    assert.equal(page[130], 9);
  });

  it('NAWUPF: never more than the device gives, nor than one mapped block', () => {
    assert.equal(powerFailAtomicBlocks(512, 512), 1);
    assert.equal(powerFailAtomicBlocks(512, 4096), 8);
    assert.equal(powerFailAtomicBlocks(512, 65_536), 8);
    assert.equal(powerFailAtomicBlocks(4096, 4096), 1);
    assert.equal(powerFailAtomicBlocks(4096, 512), 1);
  });

  it('NUSE: rounded up to blocks, never over NSZE', () => {
    assert.equal(le(encodeIdentifyNamespace({ ...input, usedBytes: 1n }), 16, 8), 1n);
    const full = encodeIdentifyNamespace({ ...input, sizeBytes: 4096n, usedBytes: 65_536n });
    assert.equal(le(full, 16, 8), 1n);
  });

  it('64 TiB of 512-byte blocks: no field overflows', () => {
    const page = encodeIdentifyNamespace({ ...input, sizeBytes: 64n << 40n, blockBytes: 512 });
    assert.equal(le(page, 0, 8), 1n << 37n);
  });

  it('a read-only grant: NSATTR says write protected', () => {
    assert.equal(encodeIdentifyNamespace({ ...input, readOnly: true })[99], 1);
  });

  it('descriptors: NGUID, UUID, CSI, and the end of the list', () => {
    const page = encodeNamespaceDescriptors({ nguid, uuid });
    assert.deepEqual([...page.slice(0, 4)], [2, 16, 0, 0]);
    assert.deepEqual(page.slice(4, 20), nguid);
    assert.deepEqual([...page.slice(20, 24)], [3, 16, 0, 0]);
    assert.deepEqual(page.slice(24, 40), uuid);
    assert.deepEqual([...page.slice(40, 48)], [4, 1, 0, 0, 0, 0, 0, 0]);
  });
});

describe('identify command', () => {
  it('the active list begins above the NSID given', async () => {
    const cases: [number, number[]][] = [
      [0, [1, 2, 7, 0]],
      [1, [2, 7, 0, 0]],
      [6, [7, 0, 0, 0]],
      [7, [0, 0, 0, 0]],
      [0xffff_fffd, [0, 0, 0, 0]],
    ];
    for (const [nsid, expected] of cases) {
      const { status, data } = await ask(0x02, { nsid });
      assert.equal(status, 0);
      const listed = [0, 4, 8, 12].map((offset) => Number(le(data ?? new Uint8Array(), offset, 4)));
      assert.deepEqual(listed, expected, `above ${nsid}`);
    }
  });

  it('a namespace that is not there: zeroes for CNS 00h and 08h, an error for 03h', async () => {
    for (const cns of [0x00, 0x08, 0x05, 0x11]) {
      const { status, data } = await ask(cns, { nsid: 3 });
      assert.equal(status, 0, `CNS ${cns}`);
      assert.equal(
        data?.every((byte) => byte === 0),
        true,
      );
    }
    assert.equal((await ask(0x03, { nsid: 3 })).status, statuses.invalidNamespaceOrFormat);
  });

  it('NSIDs that cannot be: Invalid Namespace or Format, do not retry', async () => {
    for (const [cns, nsid] of [
      [0x00, 0],
      [0x00, 0xffff_ffff],
      [0x00, 1_048_577],
      [0x02, 0xffff_fffe],
      [0x02, 0xffff_ffff],
      [0x08, 0],
    ] as const) {
      const completion = await ask(cns, { nsid });
      assert.equal(completion.status, statuses.invalidNamespaceOrFormat, `CNS ${cns} of ${nsid}`);
      assert.equal(completion.doNotRetry, true);
    }
  });

  it('command sets other than NVM: Invalid Field', async () => {
    for (const cns of [0x05, 0x06, 0x07, 0x1a]) {
      const { status } = await ask(cns, { nsid: 1, cdw11: 2 << 24 });
      assert.equal(status, statuses.invalidField);
    }
  });

  it('NVM limits: Write Zeroes up to 32 MiB, which 512-byte blocks can still say', async () => {
    const { data } = await ask(0x06);
    assert.equal(data?.[1], 13);
  });

  it('independent identify: ready and shared', async () => {
    const { data } = await ask(0x08, { nsid: 7 });
    assert.equal(data?.[0], 0);
    assert.equal(data?.[1], 1);
    assert.equal(data?.[2], 0xff, 'RESCAP as in CNS 00h');
    assert.equal(data?.[14], 1);
  });

  it('controller lists name only controllers of the asking host', async () => {
    const { data } = await ask(0x13, { cntid: 0x11 });
    assert.equal(le(data ?? new Uint8Array(), 0, 4), 0x1122_0001n);
  });

  it('unknown CNS values: Invalid Field, do not retry', async () => {
    for (const cns of [0x04, 0x09, 0x0a, 0x14, 0x15, 0x17, 0x18, 0x1d, 0x7f, 0xff]) {
      const completion = await ask(cns, { nsid: 1 });
      assert.equal(completion.status, statuses.invalidField, `CNS ${cns}`);
      assert.equal(completion.doNotRetry, true);
    }
  });

  it('a discovery controller has no namespaces to identify', async () => {
    const bytes = sqe({ opcode: 6, cdw10: 2 });
    const completion = await identify(decodeSqe(bytes), context({ kind: 'discovery' }));
    assert.equal(completion.status, statuses.invalidField);
  });
});
