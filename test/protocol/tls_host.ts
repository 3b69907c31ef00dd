/** A raw host that comes over TLS. */
import assert from 'node:assert/strict';
import tls from 'node:tls';
import { Connection } from './connection.js';
import { icReq } from './pdu.js';

/** Node's host end of TLS. Its PSK callback is for SHA-256 alone. */
export async function dial(
  port: number,
  { identity, psk }: { identity: string; psk: Uint8Array },
): Promise<Connection> {
  const socket = tls.connect({
    host: '127.0.0.1',
    port,
    minVersion: 'TLSv1.3',
    ciphers: 'TLS_AES_128_GCM_SHA256',
    pskCallback: () => ({ psk, identity }),
    checkServerIdentity: () => undefined,
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('error', reject);
  });
  assert.equal(socket.getProtocol(), 'TLSv1.3');
  return Connection.over(socket);
}

export async function negotiated(connection: Connection): Promise<Connection> {
  connection.write(icReq({ dgst: 3 }));
  await connection.negotiated();
  return connection;
}
