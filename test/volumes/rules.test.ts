import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AshlarError } from '../../lib/errors.js';
import { maxNsid } from '../../lib/target/limits.js';
import { takeNsid } from '../../lib/target/nsid.js';
import { KeyedLocks } from '../../lib/volumes/locks.js';
import { checkBlockBytes, checkHost, checkName, checkSize } from '../../lib/volumes/rules.js';
import { isUuidText, randomUuidBytes, uuidBytes, uuidText } from '../../lib/volumes/uuid.js';

function refusal(call: () => void): string | null {
  try {
    call();
    return null;
  } catch (thrown) {
    assert.ok(thrown instanceof AshlarError);
    return `${thrown.code}: ${thrown.message}`;
  }
}

describe('rules', () => {
  it('names: 1 to 63 characters, and never a UUID', () => {
    const check = (name: string) => refusal(() => checkName('volume', name));
    for (const name of ['a', '0', 'A.b_c-d', 'x'.repeat(63)]) assert.equal(check(name), null);
    for (const name of ['', '-a', '.', 'a/b', 'a b', 'ä', 'x'.repeat(64), 'a\n']) {
      assert.match(check(name) ?? '', /^invalid-argument: volume name/, JSON.stringify(name));
    }
    assert.match(check('9b5d0a12-7f33-4a6f-8f49-3f8f5c5f0c01') ?? '', /form of a UUID/);
  });

  it('sizes: one block to 64 TiB, whole blocks', () => {
    const check = (size: bigint, block: 512 | 4096 = 4096) =>
      refusal(() => checkSize('v', size, block));
    assert.equal(check(4096n), null);
    assert.equal(check(512n, 512), null);
    assert.equal(check(64n << 40n), null);
    assert.match(check(0n) ?? '', /^invalid-argument: volume 'v' cannot have 0 bytes/);
    assert.match(check(-1n) ?? '', /^invalid-argument/);
    assert.match(check((64n << 40n) + 4096n) ?? '', /^limit-exceeded: .* limit of 64TiB/);
    assert.match(check(4097n) ?? '', /next size is 8192$/);
    assert.match(check(512n) ?? '', /4096-byte blocks/);
  });

  it('block sizes: 512 and 4096', () => {
    assert.equal(
      refusal(() => checkBlockBytes(512)),
      null,
    );
    for (const bytes of [0, 1, 511, 520, 1024, 8192, Number.NaN]) {
      assert.match(refusal(() => checkBlockBytes(bytes)) ?? '', /^invalid-argument: block size/);
    }
  });

  it("hosts: NQNs; '*' only where any host is meant", () => {
    assert.equal(
      refusal(() => checkHost('*', 'any-allowed')),
      null,
    );
    assert.match(refusal(() => checkHost('*', 'one-host')) ?? '', /^invalid-argument: host NQN/);
    assert.equal(
      refusal(() => checkHost('nqn.2026-01.a.b:c', 'one-host')),
      null,
    );
  });

  it('UUIDs: text and bytes are the same thing', () => {
    const bytes = randomUuidBytes();
    assert.deepEqual(uuidBytes(uuidText(bytes)), bytes);
    assert.ok(isUuidText(uuidText(bytes)));
    assert.match(uuidText(bytes), /^.{14}4.{4}[89ab]/);
  });
});

describe('NSIDs', () => {
  it('ascend, and one that is free again is not given while others were never given', () => {
    assert.deepEqual(takeNsid(1, new Set()), { nsid: 1, next: 2 });
    assert.deepEqual(takeNsid(8, new Set([3])), { nsid: 8, next: 9 });
  });

  it('at the end of their range: round to the lowest free one', () => {
    assert.deepEqual(takeNsid(maxNsid, new Set()), { nsid: maxNsid, next: maxNsid + 1 });
    assert.deepEqual(takeNsid(maxNsid + 1, new Set([1, 2])), { nsid: 3, next: 4 });
  });
});

describe('locks', () => {
  it('one key: in order; another key: at once', async () => {
    const locks = new KeyedLocks();
    const seen: string[] = [];
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const first = locks.hold('a', 'first', undefined, async () => {
      await gate;
      seen.push('first');
    });
    const second = locks.hold('a', 'second', undefined, async () => {
      seen.push('second');
    });
    await locks.hold('b', 'other', undefined, async () => {
      seen.push('other');
    });
    release();
    await Promise.all([first, second]);
    assert.deepEqual(seen, ['other', 'first', 'second']);
    await locks.idle();
    assert.equal(locks.size, 0);
  });

  it('an abort while waiting: cancelled at once; those behind wait for the holder', async () => {
    const locks = new KeyedLocks();
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let held = true;
    const first = locks.hold('a', 'first', undefined, async () => {
      await gate;
      held = false;
    });
    const abort = new AbortController();
    const second = locks.hold('a', 'second', abort.signal, async () => assert.fail('ran'));
    const third = locks.hold('a', 'third', undefined, async () => assert.equal(held, false));
    abort.abort();
    await assert.rejects(second, { code: 'cancelled', message: 'second: cancelled' });
    assert.equal(held, true);
    release();
    await Promise.all([first, third]);
  });

  it('a body that throws: the next goes on', async () => {
    const locks = new KeyedLocks();
    const first = locks.hold('a', 'first', undefined, async () => {
      throw new Error('no');
    });
    const second = locks.hold('a', 'second', undefined, async () => 'yes');
    await assert.rejects(first, /no/);
    assert.equal(await second, 'yes');
  });
});
