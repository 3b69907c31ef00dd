/** What Ashlar does otherwise than the kernel's nvmet-tcp (Linux 6.1 and 6.12), and why. */

/** Name of the field or command, nvmet's answer, ours, and the reason. */
export type Difference = readonly [name: string, nvmet: string, ours: string, reason: string];

const thin = 'thin storage says where it likes writes to begin and end';
const atomic = 'eight blocks of 512 bytes are one block of the store, written as one';
const copy = 'nvmet has no Copy';

/** In the order in which nvme-cli prints them. */
export const fieldDifferences: readonly Difference[] = [
  ['rab', '6', '0', 'no arbitration burst is better than another: queues are served in turn'],
  ['mdts', '0', '8', 'a command is bounded by the buffers of a reactor: 1 MiB'],
  ['ver', '66304', '131072', 'NVMe 2.0 instead of 1.3'],
  ['ctratt', '65', '1', 'bit 6, traffic based keep alive: ours wants Keep Alive commands'],
  ['lpa', '7', '38', 'no SMART page a namespace, but the Supported Log Pages page'],
  ['elpe', '127', '63', 'entries of the error log'],
  ['nn', '1024', '1048576', 'NSIDs are not used again, so there are more than namespaces'],
  ['oncs', '12', '445', 'Compare, saved features, reservations, Verify and Copy'],
  ['fuses', '0', '1', 'Compare and Write'],
  ['vwc', '1', '7', 'Flush of NSID FFFFFFFFh flushes all'],
  ['nwpc', '1', '5', 'a snapshot is write protected for good'],
  ['ocfs', '0', '1', copy],
  ['sgls', '1048577', '3145729', 'bit 21, transport SGL descriptors, which TCP uses'],
  ['mnan', '1024', '16384', 'namespaces of a subsystem'],
  ['ioccsz', '1028', '516', '8 KiB of data in a capsule instead of 16'],
  ['ofcs', '0', '1', 'Disconnect of an I/O queue'],
  ['nuse', '524288000', '0', 'nothing is mapped in a new volume'],
  ['nsfeat', '18', '19', 'bit 0, thin provisioning'],
  ['rescap', '0', '255', 'nvmet of 6.1 has no reservations'],
  ['dlfeat', '0', '9', 'deallocated blocks read as zeroes; Write Zeroes deallocates'],
  ['nawun', '0', '7', atomic],
  ['nawupf', '0', '7', atomic],
  ['nacwu', '0', '7', atomic],
  ['nabsn', '0', '7', atomic],
  ['nabspf', '0', '7', atomic],
  ['npwg', '0', '7', thin],
  ['npwa', '0', '7', thin],
  ['npdg', '0', '127', thin],
  ['npda', '0', '127', thin],
  ['nows', '0', '127', thin],
  ['mssrl', '0', '2048', copy],
  ['mcl', '0', '32768', copy],
  ['msrc', '0', '127', copy],
];

/** Differences in status of Linux 6.1 alone: its successor refuses these NSIDs as well. */
export const of61Alone: ReadonlySet<string> = new Set([
  'Identify CNS 0x2 NSID 0xfffffffe',
  'Identify CNS 0x2 NSID 0xffffffff',
]);

const noPage = 'a page that is not there: Invalid Log Page (Base 5.16.1) instead of Invalid Field';
const notSaved = 'nothing is saveable: Feature Identifier Not Saveable; nvmet ignores SV';

/** In the order of the commands. Status as nvme-cli says it, with DNR (4000h), without M. */
export const statusDifferences: readonly Difference[] = [
  [
    'Identify CNS 0x5 NSID 0x1',
    '0x4002',
    'ok',
    'I/O Command Set specific Identify Namespace, new in 2.0',
  ],
  [
    'Identify CNS 0x8 NSID 0x1',
    '0x4002',
    'ok',
    'I/O Command Set independent Identify Namespace, new in 2.0',
  ],
  [
    'Identify CNS 0x10 NSID 0x1',
    '0x4002',
    'ok',
    'allocated namespaces, which are those of the subsystem',
  ],
  [
    'Identify CNS 0x13 NSID 0x1',
    '0x4002',
    'ok',
    'allocated namespaces, which are those of the subsystem',
  ],
  [
    'Identify CNS 0x0 NSID 0x0',
    'ok',
    '0x400b',
    'NSID 0 is no namespace; nvmet leaves the page empty',
  ],
  [
    'Identify CNS 0x8 NSID 0x0',
    '0x4002',
    '0x400b',
    'I/O Command Set independent Identify Namespace, new in 2.0',
  ],
  [
    'Identify CNS 0x8 NSID 0x2',
    '0x4002',
    'ok',
    'I/O Command Set independent Identify Namespace, new in 2.0',
  ],
  [
    'Identify CNS 0x8 NSID 0xffffffff',
    '0x4002',
    '0x400b',
    'I/O Command Set independent Identify Namespace, new in 2.0',
  ],
  [
    'Identify CNS 0x2 NSID 0xfffffffe',
    'ok',
    '0x400b',
    'there is no NSID above FFFFFFFDh (Base 5.17.2.2)',
  ],
  [
    'Identify CNS 0x2 NSID 0xffffffff',
    'ok',
    '0x400b',
    'there is no NSID above FFFFFFFDh (Base 5.17.2.2)',
  ],
  ['Get Log Page 0x0 NSID 0xffffffff', '0x4002', 'ok', 'Supported Log Pages, new in 2.0'],
  ['Get Log Page 0x6 NSID 0xffffffff', '0x4002', '0x4109', noPage],
  ['Get Log Page 0x7 NSID 0xffffffff', '0x4002', '0x4109', noPage],
  ['Get Log Page 0xd NSID 0xffffffff', '0x4002', '0x4109', noPage],
  [
    'Get Log Page 0x12 NSID 0xffffffff',
    '0x4002',
    'ok',
    'Feature Identifiers Supported and Effects, new in 2.0',
  ],
  ['Get Log Page 0x70 NSID 0xffffffff', '0x4002', '0x4109', noPage],
  ['Get Log Page 0x80 NSID 0xffffffff', '0x4002', 'ok', 'Reservation Notification'],
  ['Get Log Page 0xc0 NSID 0xffffffff', '0x4002', '0x4109', noPage],
  ['Get Log Page 0x2 NSID 0x1', 'ok', '0x4002', 'LPA bit 0 is clear: no SMART page a namespace'],
  [
    'Get Log Page 0x2 NSID 0xffffffff offset 2',
    'ok',
    '0x4002',
    'offsets are whole dwords (Base 5.16.1)',
  ],
  ['Get Features 0x1', '0x4002', 'ok', 'mandatory in 2.0, or harmless to tell: Arbitration'],
  ['Get Features 0x2', '0x4002', 'ok', 'mandatory in 2.0, or harmless to tell: Power Management'],
  ['Get Features 0x5', '0x4002', 'ok', 'mandatory in 2.0, or harmless to tell: Error Recovery'],
  [
    'Get Features 0xa',
    '0x4002',
    'ok',
    'mandatory in 2.0, or harmless to tell: Write Atomicity Normal',
  ],
  ['Set Features 0x6 SV', '0x4002', '0x410d', notSaved],
  ['Set Features 0x7 SV', 'ok', '0x410d', notSaved],
  ['Set Features 0xb SV', 'ok', '0x410d', notSaved],
  ['Set Features 0xf SV', 'ok', '0x410d', notSaved],
  ['Set Features 0x84 SV', '0x400b', '0x410d', 'saving is looked at first'],
  [
    'Read at the end',
    '0x4006',
    '0x4080',
    'LBA Out of Range; of null_blk nvmet knows only that it failed',
  ],
  [
    'Write at the end',
    '0x4006',
    '0x4080',
    'LBA Out of Range; of null_blk nvmet knows only that it failed',
  ],
  ['Write with DTYPE 1', 'ok', '0x4002', 'there are no directives, so no data is placed by one'],
  [
    'Write Zeroes at the end',
    '0x4006',
    '0x4080',
    'LBA Out of Range; of null_blk nvmet knows only that it failed',
  ],
  ['Compare', '0x4001', 'ok', 'nvmet of 6.1 has none'],
  ['Verify', '0x4001', 'ok', 'nvmet of 6.1 has none'],
  [
    'I/O opcode 0x7f',
    '0x4001',
    '0x400c',
    'it is a Connect (FCTYPE 1) on a queue that is connected',
  ],
];
