/**
 * A TCP connection of the line protocol: `TOKEN` goes out, `NODE POD TOKEN` comes back on one line, as
 * the lab's ingress answers. Answers come in the order of the questions.
 */
import { connect } from 'node:net';
import type { Endpoint } from './config.ts';

export interface Line {
  openedMs: number;
  /** The name that the answer gave. Rejects when the answer is wrong, late, or the connection ends before it. */
  ask(token: string, deadlineMs: number): Promise<string | undefined>;
  /** Resolves when the connection has ended, by whichever side. */
  ended: Promise<void>;
  close(): void;
}

interface Waiting {
  token: string;
  resolve(servedBy: string | undefined): void;
  reject(error: Error): void;
}

export function openLine(where: Endpoint, deadlineMs: number, openedMs: number): Promise<Line> {
  return new Promise((resolve, reject) => {
    const socket = connect(where);
    const waiting: Waiting[] = [];
    let text = '';
    const timer = setTimeout(() => {
      socket.destroy(new Error(`not connected within ${deadlineMs} ms`));
    }, deadlineMs);
    const ended = new Promise<void>((end) => {
      socket.once('close', () => end());
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
      for (const one of waiting.splice(0)) one.reject(error);
    });
    socket.on('close', () => {
      clearTimeout(timer);
      for (const one of waiting.splice(0)) one.reject(new Error('closed by the far side before the answer'));
    });
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
        const answer = text.slice(0, end).trim();
        text = text.slice(end + 1);
        const one = waiting.shift();
        const words = answer.split(' ');
        const token = words.at(-1);
        const servedBy = words.length > 1 ? words[0] : undefined;
        if (one === undefined) continue;
        if (token === one.token) one.resolve(servedBy);
        else
          one.reject(
            new Error(`expected the line ${one.token}, found ${JSON.stringify(answer.slice(0, 80))}`),
          );
      }
    });
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve({
        openedMs,
        ended,
        close: () => socket.destroy(),
        ask: (token, withinMs) =>
          new Promise((answered, failed) => {
            if (socket.destroyed || socket.readableEnded) {
              failed(new Error('closed by the far side'));
              return;
            }
            const late = setTimeout(() => {
              socket.destroy(new Error(`no answer within ${withinMs} ms`));
            }, withinMs);
            waiting.push({
              token,
              resolve: (servedBy) => {
                clearTimeout(late);
                answered(servedBy);
              },
              reject: (error) => {
                clearTimeout(late);
                failed(error);
              },
            });
            socket.write(`${token}\n`);
          }),
      });
    });
  });
}
