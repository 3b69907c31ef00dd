/** Commands that both targets get, right and wrong ones, as arguments of nvme-cli's passthru. */

export interface Passthru {
  name: string;
  kind: 'admin' | 'io';
  arguments: string;
}

const hex = (value: number) => `0x${value.toString(16)}`;

function admin(name: string, text: string): Passthru {
  return { name, kind: 'admin', arguments: text };
}

function io(name: string, text: string): Passthru {
  return { name, kind: 'io', arguments: `--namespace-id=1 ${text}` };
}

function identify(cns: number, nsid: number): Passthru {
  const fields = `--opcode=6 --cdw10=${cns} --namespace-id=${nsid}`;
  return admin(`Identify CNS ${hex(cns)} NSID ${hex(nsid)}`, `${fields} --data-len=4096 -r`);
}

/** 512 bytes of a log page. */
function log(lid: number, nsid = 0xffffffff, offset = 0): Passthru {
  const fields = `--opcode=2 --cdw10=${lid | (127 << 16)} --cdw12=${offset} --namespace-id=${nsid}`;
  const at = offset === 0 ? '' : ` offset ${offset}`;
  return admin(`Get Log Page ${hex(lid)} NSID ${hex(nsid)}${at}`, `${fields} --data-len=512 -r`);
}

const getFeature = (fid: number) => admin(`Get Features ${hex(fid)}`, `--opcode=10 --cdw10=${fid}`);
const saveFeature = (fid: number) =>
  admin(`Set Features ${hex(fid)} SV`, `--opcode=9 --cdw10=${(fid | (1 << 31)) >>> 0}`);

const out = '-w -i /dev/zero';
/** The first block that a namespace of 250 GiB in blocks of 512 bytes has not. */
const end = hex((250 * 2 ** 30) / 512);

const cnsValues = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x08, 0x10, 0x13, 0x1c, 0xff];
const lids = [0x00, 0x01, 0x02, 0x03, 0x06, 0x07, 0x0c, 0x0d, 0x12, 0x70, 0x80, 0xc0];
const fids = [0x01, 0x02, 0x05, 0x06, 0x07, 0x08, 0x0a, 0x0b, 0x0e, 0x0f, 0x80, 0x84];
const adminOpcodes = [0x00, 0x05, 0x0d, 0x11, 0x15, 0x80, 0x82, 0x84, 0xc0];

export const commands: readonly Passthru[] = [
  ...cnsValues.map((cns) => identify(cns, 1)),
  ...[0x00, 0x03, 0x08].flatMap((cns) => [0, 2, 0xffffffff].map((nsid) => identify(cns, nsid))),
  ...[0, 0xfffffffe, 0xffffffff].map((nsid) => identify(0x02, nsid)),
  ...lids.map((lid) => log(lid)),
  log(2, 1),
  log(2, 0xffffffff, 2),
  ...fids.map(getFeature),
  ...[6, 7, 0xb, 0xf, 0x84].map(saveFeature),
  ...adminOpcodes.map((opcode) => admin(`admin opcode ${hex(opcode)}`, `--opcode=${opcode}`)),
  io('Read at the end', `--opcode=2 --cdw10=${end} --data-len=512 -r`),
  io('Read of more than the buffer', '--opcode=2 --cdw12=7 --data-len=512 -r'),
  io('Read of less than the buffer', '--opcode=2 --cdw12=0 --data-len=4096 -r'),
  io('Write', `--opcode=1 --data-len=512 ${out}`),
  io('Write with FUA', `--opcode=1 --cdw12=0x40000000 --data-len=512 ${out}`),
  io('Write at the end', `--opcode=1 --cdw10=${end} --data-len=512 ${out}`),
  io('Write with DTYPE 1', `--opcode=1 --cdw12=0x00100000 --data-len=512 ${out}`),
  io('Flush', '--opcode=0'),
  io('Write Zeroes', '--opcode=8 --cdw12=7'),
  io('Write Zeroes at the end', `--opcode=8 --cdw10=${end} --cdw12=7`),
  io('Dataset Management without AD', `--opcode=9 --data-len=16 ${out}`),
  io('Dataset Management', `--opcode=9 --cdw11=4 --data-len=16 ${out}`),
  io('Compare', `--opcode=5 --data-len=512 ${out}`),
  io('Verify', '--opcode=12'),
  ...[0x04, 0x7f, 0x80].map((opcode) => io(`I/O opcode ${hex(opcode)}`, `--opcode=${opcode}`)),
];
