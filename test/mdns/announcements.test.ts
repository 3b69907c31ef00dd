/** Which of a machine's addresses and ports are announced. */
import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { test } from 'node:test';
import { announcements } from '../../lib/mdns/announcements.js';

function info(address: string, internal = false): NetworkInterfaceInfo {
  const rest = { netmask: '', mac: '', internal, cidr: null };
  return address.includes(':')
    ? { address, family: 'IPv6', scopeid: address.startsWith('fe80') ? 2 : 0, ...rest }
    : { address, family: 'IPv4', ...rest };
}

const interfaces = {
  lo: [info('127.0.0.1', true), info('::1', true)],
  eth0: [info('192.0.2.1'), info('192.0.2.2'), info('2001:db8::1'), info('fe80::1')],
  eth1: [info('198.51.100.1'), info('fd00::1')],
};

function at(address: string, port = 8009, discoveryOnly = true) {
  return { address, port, discoveryOnly };
}

const announced = (...portals: ReturnType<typeof at>[]) =>
  announcements(portals, interfaces).map(({ port, addresses }) => [port, ...addresses]);

test('announcements: loopback, or an address that is gone: nothing', () => {
  assert.deepEqual(announced(at('127.0.0.1'), at('::1'), at('203.0.113.9')), []);
  assert.deepEqual(announced(), []);
});

test('announcements: each port with the addresses of its portals', () => {
  assert.deepEqual(
    announced(at('198.51.100.1'), at('192.0.2.1'), at('2001:db8::1', 9000), at('127.0.0.1')),
    [
      [8009, '192.0.2.1', '198.51.100.1'],
      [9000, '2001:db8::1'],
    ],
  );
});

test('announcements: portals for volumes only where none is for discovery alone', () => {
  const volumes = at('192.0.2.1', 4420, false);
  assert.deepEqual(announced(volumes, at('127.0.0.1')), [[4420, '192.0.2.1']]);
  assert.deepEqual(announced(volumes, at('198.51.100.1')), [[8009, '198.51.100.1']]);
});

test('announcements: a wildcard stands for the outward addresses of its family', () => {
  assert.deepEqual(announced(at('0.0.0.0')), [[8009, '192.0.2.1', '198.51.100.1']]);
  const all = ['192.0.2.1', '198.51.100.1', '2001:db8::1', 'fd00::1', 'fe80::1'];
  assert.deepEqual(announced(at('::')), [[8009, ...all]]);
  assert.deepEqual(announced(at('fe80::1%eth0')), [[8009, 'fe80::1']]);
});
