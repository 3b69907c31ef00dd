/** The tables of messages say what the specification says, and become the bytes that it means. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { codecOf, type MessageTable } from '../../lib/csi/wire/fields.js';
import * as messages from '../../lib/csi/wire/messages.js';
import { pathOf, services } from '../../lib/csi/wire/services.js';

const snake = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** One line for each field, value and method, sorted: the same of any description of CSI. */
function description(): string {
  const lines: string[] = [];
  for (const table of Object.values(messages)) {
    if ('values' in table) {
      table.values.forEach((value, index) => {
        lines.push(`enum ${table.name} ${value} ${index}`);
      });
      continue;
    }
    if (table.name.startsWith('google.')) continue;
    const { name, fields } = table as MessageTable;
    lines.push(`message ${name}`);
    for (const [field, { number, of, label }] of Object.entries(fields)) {
      const type = typeof of === 'string' ? of : of.name;
      lines.push(`field ${name} ${snake(field)} ${number} ${label} ${type}`);
    }
  }
  for (const [service, rpcs] of Object.entries(services)) {
    for (const [rpc, { request, response, streams }] of Object.entries(rpcs)) {
      const stream = streams ? 'stream ' : '';
      lines.push(`rpc ${pathOf(service, rpc)} ${request.name} ${stream}${response.name}`);
    }
  }
  return `${lines.sort().join('\n')}\n`;
}

describe('messages', () => {
  test('have the names, numbers and types of the csi.proto of CSI 1.12.0, all of them', () => {
    // Of the same lines made of the specification's own csi.proto, at its tag v1.12.0.
    const specified = 'ef8f41d91f579ebcd08625b926823e58b5f09dcbbf4296be4ad34b1c76d5b875';
    const text = description();
    if (process.env['ASHLAR_PRINT'] === 'wire') process.stdout.write(text);
    assert.equal(createHash('sha256').update(text).digest('hex'), specified);
  });

  test('a request goes through its bytes: nothing is lost, and what is absent has a value', () => {
    const codec = codecOf(messages.CreateVolumeRequest);
    const bytes = codec.encode({
      name: 'größe',
      capacityRange: { requiredBytes: 2n ** 62n },
      volumeCapabilities: [{ block: {}, accessMode: { mode: 'SINGLE_NODE_WRITER' } }],
      parameters: { tenant: 'a', policy: '' },
      volumeContentSource: { snapshot: { snapshotId: 'x' } },
    });
    assert.deepEqual(codec.decode(bytes), {
      name: 'größe',
      capacityRange: { requiredBytes: 2n ** 62n, limitBytes: 0n },
      volumeCapabilities: [{ block: {}, mount: null, accessMode: { mode: 'SINGLE_NODE_WRITER' } }],
      parameters: { tenant: 'a', policy: '' },
      secrets: {},
      volumeContentSource: { snapshot: { snapshotId: 'x' }, volume: null },
      accessibilityRequirements: null,
      mutableParameters: {},
    });
  });

  test('a negative size stays negative, and bytes that are no message are refused', () => {
    const codec = codecOf(messages.CapacityRange);
    assert.equal(codec.decode(codec.encode({ limitBytes: -1n })).limitBytes, -1n);
    assert.throws(() => codec.decode(Buffer.from([0x0a, 0x7f, 0x01])));
  });

  test('the bytes are those of protocol buffers: field 1, length-delimited; field 2, varint', () => {
    const bytes = codecOf(messages.VolumeCondition).encode({ abnormal: true, message: 'no' });
    assert.equal(bytes.toString('hex'), `08011202${Buffer.from('no').toString('hex')}`);
    const usage = codecOf(messages.VolumeUsage).encode({ available: 300n, unit: 'INODES' });
    assert.equal(usage.toString('hex'), '08ac022002');
  });

  test('an access mode of a newer specification is UNKNOWN', () => {
    const bytes = Buffer.from([0x08, 0x63]);
    assert.deepEqual(codecOf(messages.AccessMode).decode(bytes), { mode: 'UNKNOWN' });
  });

  test("a parameter called '__proto__' changes nobody's prototype", () => {
    const key = Buffer.from('__proto__');
    const entry = Buffer.concat([Buffer.from([0x0a, key.length]), key, Buffer.from('\x12\x01x')]);
    const bytes = Buffer.concat([Buffer.from([0x22, entry.length]), entry]);
    const { parameters } = codecOf(messages.CreateVolumeRequest).decode(bytes);
    assert.equal(Object.getPrototypeOf({}), Object.prototype);
    assert.equal(({} as Record<string, unknown>)['x'], undefined);
    assert.equal(typeof parameters, 'object');
  });
});
