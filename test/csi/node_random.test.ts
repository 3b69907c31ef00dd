/**
 * Random lives of a node: calls repeated, reordered and at once, verbs that fail, plugins killed,
 * reboots, paths and volumes lost. Nothing that must never happen does, what is said to be done is
 * done, and when the faults end so does everything on the node.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { SeededRandom, seedOfRun } from '../rig/random.js';
import {
  blockCapability,
  type Claim,
  mountCapability,
  NodeRig,
  portals,
  subnqn,
} from './node_rig.js';
import { Cutter, cutModes } from './simulated_host.js';

const lives = 60;
const steps = 60;
const targets = ['/kubelet/pods/a', '/kubelet/pods/b'];

const targetOf = (claim: Claim, index: number) => `${targets[index]}/${claim.volume.uuid}`;

/** One node with its CO, until all is undone. */
class Life {
  readonly rig = new NodeRig();
  readonly claims: Claim[];
  cutter = new Cutter(this.rig.host);
  readonly log: string[] = [];
  done = 0;

  constructor(private readonly random: SeededRandom) {
    this.claims = [
      this.rig.claim(1, mountCapability()),
      this.rig.claim(2, mountCapability({ mode: 'SINGLE_NODE_MULTI_WRITER', fsType: 'xfs' })),
      this.rig.claim(3, blockCapability('MULTI_NODE_MULTI_WRITER')),
    ];
  }

  async live(): Promise<void> {
    await this.#restart();
    const under: Promise<void>[] = [];
    for (let step = 0; step < steps; step += 1) {
      if (this.random.below(10) === 0) await this.#fault();
      under.push(this.#call());
      // Now and then calls are under way at once.
      if (this.random.below(3) > 0) await Promise.all(under.splice(0));
      assert.deepEqual(this.rig.host.snapshot().violations, []);
    }
    await Promise.all(under);
    await this.#end();
  }

  async #restart(): Promise<void> {
    this.cutter = new Cutter(this.rig.host);
    await this.rig.start(this.cutter);
  }

  async #fault(): Promise<void> {
    const { host } = this.rig;
    const answering = host.subsystems.get(subnqn)?.portals;
    const portal = portals[this.random.below(portals.length)] ?? portals[0];
    const { volume } = this.#claim();
    const faults: [string, () => void | Promise<void>][] = [
      ['a verb fails', () => this.cutter.arm(1 + this.random.below(12), this.#mode('error'))],
      ['a plugin is killed', () => this.cutter.arm(1 + this.random.below(12), this.#mode('kill'))],
      ['a plugin is started', () => this.#restart()],
      ['a portal is down', () => void answering?.delete(portal)],
      ['a portal is up', () => void answering?.add(portal)],
      ['a path is lost', () => host.losePath(portal)],
      ['paths reconnect', () => host.setPaths('connecting', portal)],
      ['paths are live', () => host.setPaths('live')],
      ['discovery has news', () => host.tellNews()],
      ['a volume is revoked', () => host.revoke(volume.uuid)],
      ['volumes are granted', () => this.#grant()],
      [
        'the node reboots',
        async () => {
          host.reboot();
          await this.#restart();
        },
      ],
    ];
    const [name, make] = faults[this.random.below(faults.length)] ?? [];
    this.log.push(`-- ${name}`);
    await make?.();
  }

  #grant(): void {
    for (const { volume } of this.claims) volume.access = 'read-write';
  }

  #mode(kind: string) {
    const modes = cutModes.filter((mode) => mode.startsWith(kind));
    return modes[this.random.below(modes.length)] ?? 'error-before';
  }

  #claim(): Claim {
    const claim = this.claims[this.random.below(this.claims.length)];
    assert.ok(claim !== undefined);
    return claim;
  }

  async #call(): Promise<void> {
    const claim = this.#claim();
    const target = targetOf(claim, this.random.below(targets.length));
    const { rig } = this;
    const calls: [string, () => Promise<unknown>][] = [
      ['stage', () => rig.stage(claim)],
      ['stage', () => rig.stage(claim)],
      ['publish', () => rig.publish(claim, target, this.random.below(2) === 0)],
      ['publish', () => rig.publish(claim, target)],
      ['unpublish', () => rig.unpublish(claim, target)],
      ['unstage', () => rig.unstage(claim)],
      ['stats', () => rig.stats(claim, target)],
      ['expand', () => rig.expand(claim, claim.staging, claim.volume.sizeBytes)],
    ];
    const [name, call] = calls[this.random.below(calls.length)] ?? [];
    const what = `${name} ${claim.volume.uuid.slice(0, 8)} ${target}`;
    const { cutter } = this;
    try {
      await call?.();
      this.log.push(`${what}: OK`);
      this.done += 1;
    } catch (thrown) {
      this.log.push(`${what}: ${String(thrown)}`);
    }
    // A plugin that was killed is started again by the CO.
    if (cutter.dead && cutter === this.cutter) await this.#restart();
  }

  /** Faults end, and the CO undoes all that it ever asked for; each call succeeds at once. */
  async #end(): Promise<void> {
    const { host } = this.rig;
    for (const portal of portals) host.subsystems.get(subnqn)?.portals.add(portal);
    host.setPaths('live');
    this.#grant();
    await this.#restart();
    this.log.push('-- the end');
    // What is asked for now is there, whatever was before.
    for (const claim of this.claims) {
      for (const [index] of targets.entries())
        await this.rig.unpublish(claim, targetOf(claim, index));
      await this.rig.stage(claim);
      await this.rig.publish(claim, targetOf(claim, 0));
      const seen = (await host.mounts()).findLast((each) => each.target === targetOf(claim, 0));
      const disk = await host.disk(claim.volume.uuid);
      assert.deepEqual([seen?.number, seen?.gone], [disk?.number, false]);
      await this.rig.unpublish(claim, targetOf(claim, 0));
      await this.rig.unstage(claim);
    }
    const { paths, disks, mounts, files, records, violations } = host.snapshot();
    const left = files.filter((file) => !file.startsWith('/kubelet/staging/'));
    assert.deepEqual(
      { paths, disks, mounts, left, records, violations },
      { paths: [], disks: [], mounts: [], left: [], records: [], violations: [] },
    );
    assert.deepEqual([...host.discovery], []);
  }
}

const seed = seedOfRun();
it(`seed ${seed}: ${lives} lives of ${steps} calls with faults: nothing lost, nothing left`, async () => {
  const random = new SeededRandom(seed);
  let done = 0;
  for (let count = 0; count < lives; count += 1) {
    const life = new Life(random);
    try {
      await life.live();
    } catch (thrown) {
      const text = `life ${count} of seed ${seed}: ${String(thrown)}\n${life.log.join('\n')}`;
      throw new Error(text, { cause: thrown });
    } finally {
      await life.rig[Symbol.asyncDispose]();
    }
    done += life.done;
  }
  assert.ok(done > (lives * steps) / 10, `${done} calls succeeded`);
});
