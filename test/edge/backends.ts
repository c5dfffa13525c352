/**
 * The nodes behind the proxy, as one process of their own: `backends ADDRESS…`. Each address has the same two ports: one
 * for HTTP (an upgrade is answered and echoes) and one for the line protocol of the lab's traffic. Prints the ports
 * as one line of JSON, and ends with its stdin.
 */
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTcp } from 'node:net';
import type { AddressInfo, Server } from 'node:net';

/** RFC 6455, 1.3. */
const WEBSOCKET = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

function web(address: string): Server {
  const server = createServer({ keepAliveTimeout: 600_000 }, (request, response) => {
    request.resume();
    request.on('end', () => response.writeHead(200, { 'x-served-by': address }).end(`${address}\n`));
  });
  server.on('upgrade', (request, socket) => {
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key'] ?? ''}${WEBSOCKET}`)
      .digest('base64');
    socket.on('error', () => socket.destroy());
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  return server;
}

function lines(address: string): Server {
  return createTcp((socket) => {
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', () => socket.destroy());
    socket.on('data', (chunk: string) => {
      text += chunk;
      const whole = text.split('\n');
      text = whole.pop() ?? '';
      for (const token of whole) socket.write(`${address} pod ${token}\n`);
    });
  });
}

async function listen(server: Server, port: number, address: string): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: address, backlog: 1024 }, resolve);
  });
  return (server.address() as AddressInfo).port;
}

const ports = { web: 0, lines: 0 };
for (const address of process.argv.slice(2)) {
  ports.web = await listen(web(address), ports.web, address);
  ports.lines = await listen(lines(address), ports.lines, address);
}
process.stdout.write(`${JSON.stringify(ports)}\n`);
process.stdin.on('end', () => process.exit(0)).resume();
