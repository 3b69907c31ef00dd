/** What a person does with nvme-cli on a Linux host, as calls on a guest. */
import { type Guest, machineAddress } from './guest.js';

export const hostnqn = 'nqn.2014-08.org.nvmexpress:uuid:5a1a5f0e-7d0c-4f2b-9a53-6a2d7f3f4b10';
export const hostid = '5a1a5f0e-7d0c-4f2b-9a53-6a2d7f3f4b10';
const identity = `--hostnqn=${hostnqn} --hostid=${hostid}`;

export interface DiscoveryRecord {
  trtype: string;
  adrfam: string;
  subtype: string;
  trsvcid: string;
  subnqn: string;
  traddr: string;
}

export class LinuxHost {
  constructor(
    readonly guest: Guest,
    private readonly port: number,
    private readonly subnqn: string,
    /** What the guest calls this machine: by it, the network that it goes through. */
    private readonly address = machineAddress,
  ) {}

  async discover(port: number): Promise<DiscoveryRecord[]> {
    const text = await this.guest.sh(
      `nvme discover -t tcp -a ${machineAddress} -s ${port} ${identity} -o json`,
    );
    return (JSON.parse(text) as { records: DiscoveryRecord[] }).records;
  }

  /** `nvme connect`; returns the controller's name (nvme0) once its namespaces are there. */
  async connect(options = ''): Promise<string> {
    const reconnect = '--reconnect-delay=1 --ctrl-loss-tmo=120 --keep-alive-tmo=5';
    await this.guest.sh(
      `nvme connect -t tcp -a ${this.address} -s ${this.port} -n ${this.subnqn} \
        ${identity} ${reconnect} ${options}`,
    );
    const name = await this.guest.sh(
      `for controller in /sys/class/nvme/nvme*; do
         grep -qx '${this.subnqn}' $controller/subsysnqn && basename $controller
       done`,
    );
    return name.trim();
  }

  /** Waits for a block device to appear: namespaces are scanned after Connect has returned. */
  async device(nsid: number): Promise<string> {
    const text = await this.guest.sh(
      `for try in $(seq 200); do
         for disk in /sys/block/nvme*n*; do
           # nvme0c0n1 is one path, nvme0n1 the namespace.
           case \${disk##*/} in *c*) continue ;; esac
           [ -e $disk/nsid ] && [ $(cat $disk/nsid) = ${nsid} ] || continue
           basename $disk
           exit 0
         done
         sleep 0.1
       done
       exit 1`,
    );
    return `/dev/${text.trim()}`;
  }

  /**
   * The guest reaches this machine's ports by an address of QEMU's, but discovery gives the one on
   * which the portal listens. So that this works there too, the guest relays the ports.
   */
  async relay(ports: readonly number[]): Promise<void> {
    for (const port of ports) {
      await this.guest.sh(
        `busybox nc -ll -p ${port} -e busybox nc ${machineAddress} ${port} </dev/null >/dev/null 2>&1 &
         echo $! >>/tmp/background
         for try in $(seq 100); do
           grep -qi ':${port.toString(16).padStart(4, '0')} .* 0A ' /proc/net/tcp /proc/net/tcp6 &&
             exit 0
           sleep 0.1
         done
         exit 1`,
      );
    }
  }

  /** From now on kernel events of NVMe are noted in a file, one a line; its name. */
  async noteEvents(): Promise<string> {
    const file = '/tmp/events';
    await this.guest.sh(
      `cat >/tmp/note-event <<'end'
#!/bin/sh
echo "$ACTION $DEVNAME NVME_EVENT=$NVME_EVENT NVME_AEN=$NVME_AEN" >>${file}
end
       chmod +x /tmp/note-event
       : >${file}
       busybox uevent /tmp/note-event </dev/null >/dev/null 2>&1 &
       echo $! >>/tmp/background`,
    );
    return file;
  }

  /** Ends relays and the noting of events. */
  async endBackground(): Promise<void> {
    await this.guest.sh('kill $(cat /tmp/background)');
  }

  /** Waits until a file has so many lines with these words. */
  async lines(file: string, words: string, count: number): Promise<void> {
    await this.guest.sh(
      `for try in $(seq 50); do
         [ $(grep -c '${words}' ${file}) -ge ${count} ] && exit 0
         sleep 0.1
       done
       cat ${file}
       exit 1`,
    );
  }

  /** An nvme-cli command of discovery, as this host. */
  nvme(command: string): Promise<string> {
    return this.guest.sh(`nvme ${command} ${identity}`);
  }

  async disconnect(): Promise<void> {
    await this.guest.sh(`nvme disconnect -n ${this.subnqn}`);
  }

  /** A file of sysfs. */
  async attribute(file: string): Promise<string> {
    return (await this.guest.sh(`cat ${file}`)).trim();
  }

  async json<T>(command: string): Promise<T> {
    return JSON.parse(await this.guest.sh(command)) as T;
  }
}

/** fio jobs, each with checksums in every block and a size that emulation takes in seconds. */
export function fio(name: string, options: string): string {
  return `fio --name=${name} --output=/dev/null --ioengine=libaio --direct=1 \
    --verify=crc32c --verify_fatal=1 --verify_state_save=0 --randseed=1 --group_reporting ${options}`;
}

/**
 * What the guest's kernel complained of. What was under way on a path (nvme0c0n1) that broke is told
 * of the path and tried again; of the disk (nvme0n1) nothing may be told.
 */
export function complaints(guest: Guest): string[] {
  return guest.console
    .split('\n')
    .filter((line) => /BUG|WARNING|Oops|Call Trace|I\/O error|hung task/.test(line))
    .filter((line) => !/I\/O error, dev nvme\d+c\d+n\d+,/.test(line));
}
