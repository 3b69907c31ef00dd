/** PSKs that hosts generate: how long they last, how many there are, and what ends them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import type { Secret } from '../../lib/auth/secret.js';
import { GeneratedPsks, type Standing } from '../../lib/target/generated_psks.js';
import {
  generatedPskMs,
  maxGeneratedPsks,
  maxGeneratedPsksPerHost,
} from '../../lib/target/limits.js';
import type { TlsPsk } from '../../lib/tls/derive.js';

const subnqn = 'nqn.2026-01.dev.ashlar:tenant';
const alice = 'nqn.2026-01.test:alice';
const secret = (): Secret => ({ key: Uint8Array.from(randomBytes(32)), transform: 'sha256' });

class Bench {
  now = 1000;
  readonly key = secret();
  standing: Standing = { keys: { host: [this.key], controller: null }, granted: true };
  applied: readonly TlsPsk[] = [];
  readonly psks = new GeneratedPsks({
    now: () => this.now,
    standing: () => this.standing,
    apply: (psks) => {
      this.applied = psks;
    },
  });

  /** The identity of a new one; null: it was not kept. */
  add(hostnqn = alice, user: object | null = null): string | null {
    const psk = Uint8Array.from(randomBytes(32));
    const added = this.psks.add(
      { hash: 'sha256', psk, provenBy: { ...this.key } },
      hostnqn,
      subnqn,
      user,
    );
    return added ? (this.applied.at(-1)?.identity ?? null) : null;
  }

  get identities(): string[] {
    return this.applied.map(({ identity }) => identity);
  }
}

describe('generated PSKs', () => {
  it('nobody comes: gone after a minute', () => {
    const bench = new Bench();
    const identity = bench.add();
    assert.match(identity ?? '', /^NVMe1G01 /);
    assert.deepEqual(bench.psks.ownerOf(identity ?? '')?.hostnqn, alice);
    bench.now += generatedPskMs - 1;
    bench.psks.review();
    assert.deepEqual(bench.identities, [identity]);
    bench.now += 1;
    assert.equal(bench.psks.ownerOf(identity ?? ''), null);
    assert.deepEqual(bench.identities, []);
  });

  it('in use: for as long as that, and a minute more', () => {
    const bench = new Bench();
    const identity = bench.add();
    const users = [{}, {}];
    for (const user of users) bench.psks.use(identity, user);
    bench.now += 100 * generatedPskMs;
    bench.psks.review();
    assert.deepEqual(bench.identities, [identity]);
    for (const user of users) bench.psks.release(user);
    bench.now += generatedPskMs - 1;
    bench.psks.review();
    assert.deepEqual(bench.identities, [identity]);
    bench.psks.use(identity, {});
    bench.now += generatedPskMs;
    bench.psks.review();
    assert.deepEqual(bench.identities, [identity], 'the host was back in time');
  });

  it('replaced: over the new one from then on, the old one only while another is over it', () => {
    const bench = new Bench();
    const first = bench.add();
    const [user, other] = [{}, {}];
    bench.psks.use(first, user);
    const second = bench.add(alice, user);
    assert.deepEqual(bench.identities, [second]);
    bench.psks.use(second, other);
    const third = bench.add(alice, user);
    assert.deepEqual(bench.identities, [second, third]);
    bench.psks.release(user);
    bench.now += generatedPskMs;
    bench.psks.review();
    assert.deepEqual(bench.identities, [second]);
  });

  it('the key that the host proved itself with is removed: gone, another key or not', () => {
    for (const keys of [null, { host: [secret()], controller: null }]) {
      const bench = new Bench();
      bench.psks.use(bench.add(), {});
      bench.standing = { keys, granted: true };
      bench.psks.review();
      assert.deepEqual(bench.identities, []);
    }
    const bench = new Bench();
    bench.add();
    bench.standing = { keys: { host: [secret(), bench.key], controller: null }, granted: true };
    bench.psks.review();
    assert.equal(bench.applied.length, 1, 'a second key beside it');
  });

  it('all grants are revoked: gone; none yet: it may wait for the first', () => {
    const bench = new Bench();
    bench.standing = { ...bench.standing, granted: false };
    bench.add();
    bench.psks.review();
    assert.equal(bench.applied.length, 1);
    bench.standing = { ...bench.standing, granted: true };
    bench.psks.review();
    bench.standing = { ...bench.standing, granted: false };
    bench.psks.review();
    assert.deepEqual(bench.identities, []);
  });

  it('64 of a host: the oldest that nobody uses makes room, and of those in use none does', () => {
    const bench = new Bench();
    const first = bench.add();
    const user = {};
    bench.psks.use(first, user);
    const second = bench.add();
    for (let count = 2; count < maxGeneratedPsksPerHost; count += 1) bench.add();
    const next = bench.add();
    assert.equal(bench.applied.length, maxGeneratedPsksPerHost);
    assert.ok(bench.identities.includes(first ?? ''));
    assert.ok(!bench.identities.includes(second ?? ''));
    for (const each of bench.identities) if (each !== first) bench.psks.use(each, {});
    assert.equal(bench.add(), null);
    assert.ok(bench.identities.includes(next ?? ''));
    assert.notEqual(bench.add('nqn.2026-01.test:bob'), null, 'another host has room');
    assert.notEqual(bench.add(alice, user), null, 'one takes the place of its own');
  });

  it('4,096 of the node: the oldest of all that nobody uses makes room', () => {
    const bench = new Bench();
    const host = (index: number) => `nqn.2026-01.test:${Math.floor(index / 64)}`;
    const first = bench.add(host(0));
    for (let count = 1; count < maxGeneratedPsks; count += 1) bench.add(host(count));
    assert.equal(bench.applied.length, maxGeneratedPsks);
    assert.notEqual(bench.add(alice), null);
    assert.equal(bench.applied.length, maxGeneratedPsks);
    assert.ok(!bench.identities.includes(first ?? ''));
  });

  it('dropped or closed: the bytes are overwritten', () => {
    const bench = new Bench();
    bench.add();
    const [kept] = bench.applied;
    assert.ok(kept?.psk.some((byte) => byte !== 0));
    bench.psks.close();
    assert.deepEqual(bench.identities, []);
    assert.ok(kept?.psk.every((byte) => byte === 0));
  });
});
