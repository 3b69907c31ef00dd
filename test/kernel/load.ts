/** fio with checksums that runs until it is told to stop, and the longest I/O of each phase. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Guest, ScriptResult } from './guest.js';
import { fio } from './host.js';

/** What the host's I/O was like in one phase. */
export interface PhaseFigures {
  name: string;
  /** I/Os that began in it. */
  ios: number;
  /** How long the longest of them took, to its end, even if that was after the phase. */
  longestMs: number;
}

/** What a load was in all. */
export interface LoadFigures {
  writes: number;
  /** Reads whose checksum was right. */
  verified: number;
  phases: PhaseFigures[];
}

interface Mark {
  name: string;
  /** Milliseconds of the guest's clock. */
  fromMs: number;
}

const calmMs = 1000;
const log = '/tmp/load';

export class Load {
  readonly #guest: Guest;
  readonly #running: Promise<ScriptResult>;
  readonly #marks: Mark[] = [];
  #ended: ScriptResult | null = null;

  private constructor(guest: Guest, running: Promise<ScriptResult>) {
    this.#guest = guest;
    this.#running = running;
    void running.then(
      (result) => {
        this.#ended = result;
      },
      () => undefined,
    );
  }

  /**
   * Four threads write 2 MiB of the device each at random and read them back, again and again, with
   * other bytes each time: a block that kept those of the time before is noticed. Each has one
   * system call under way, so that what it waits for is all that an I/O takes: with a queue of its
   * own, fio would count neither the time in which the kernel takes an I/O nor, of the reads that
   * verify, the right one. Resolves when I/O is under way on both paths of the device.
   */
  static async start(guest: Guest, device: string): Promise<Load> {
    const job = fio(
      'load',
      `--filename=${device} --rw=randwrite --bsrange=4k-64k --ioengine=psync --thread \
       --numjobs=4 --size=2M --offset_increment=2M --loops=1000000 --randrepeat=0 \
       --output=${log}.out --write_lat_log=${log} --log_unix_epoch=1 --disable_lat=1 \
       --disable_slat=1`,
    );
    const running = guest.attempt(`${job} & echo $! >${log}.pid; wait $!`, {
      port: 1,
      timeoutMs: 400_000,
    });
    await guest.sh(
      // Each path has done some writes, the fifth figure of its statistics.
      `for try in $(seq 300); do
         busy=0
         for file in /sys/block/nvme*c*n*/stat; do
           read -r reads merged sectors ms writes rest <$file
           [ $writes -lt 100 ] || busy=$((busy + 1))
         done
         [ $busy = 2 ] && exit 0
         sleep 0.1
       done
       exit 1`,
    );
    return new Load(guest, running);
  }

  /**
   * A new phase: an I/O belongs to the one in which it began. The fault is to come after this has
   * resolved, a calm second later, so that what it finds under way began in this phase, and a stall
   * that outlives its phase is not the next one's.
   */
  async phase(name: string): Promise<void> {
    this.check();
    const text = await this.#guest.sh(`date +%s%3N; sleep ${calmMs / 1000}`);
    this.#marks.push({ name, fromMs: Number(text) });
  }

  /** Throws when it has ended by itself: an I/O or a checksum failed. */
  check(): void {
    if (this.#ended === null) return;
    throw new Error(`fio ended with code ${this.#ended.code}:\n${this.#ended.output}`);
  }

  /** Ends it after what is under way. Throws when an I/O or a checksum had failed. */
  async stop(): Promise<LoadFigures> {
    this.check();
    await this.#guest.sh(`kill -TERM $(cat ${log}.pid)`);
    // Longer than any I/O may take here, and than fio needs to write its logs.
    const result = await Promise.race([this.#running, delay(60_000, null, { ref: false })]);
    if (result === null) throw new Error('fio was told to stop and has I/O that does not end');
    const { code, output } = result;
    // 128 is fio's code for having been told to stop; each error adds one.
    if (code !== 128) throw new Error(`fio ended with code ${code}:\n${output}`);
    const froms = this.#marks.map(({ fromMs }) => fromMs).join(' ');
    // A line is "end in ms, nanoseconds, 0 for a read, bytes, priority".
    const text = await this.#guest.sh(
      `awk -F ', *' -v marks='${froms}' '
         BEGIN { count = split(marks, from, " ") }
         {
           of[$3] += 1
           began = $1 - $2 / 1e6
           for (phase = count; phase > 0 && began < from[phase]; phase -= 1);
           ios[phase] += 1
           if ($2 > longest[phase]) longest[phase] = $2
         }
         END {
           print of[1] + 0, of[0] + 0
           for (phase = 1; phase <= count; phase += 1)
             printf "%d %.0f\\n", ios[phase], longest[phase] / 1e6
         }' ${log}_clat.*.log`,
      { timeoutMs: 120_000 },
    );
    const [[writes = 0, verified = 0] = [], ...rows] = text
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number));
    const phases = this.#marks.map(({ name }, index) => {
      const [ios = 0, longestMs = 0] = rows[index] ?? [];
      return { name, ios, longestMs };
    });
    return { writes, verified, phases };
  }
}
