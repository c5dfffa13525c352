import { HOME, SMALL } from '../../lab/example.ts';
import { trapCluster, naive, judged, EXISTING } from './cluster.ts';
describe('probe', function () {
  this.timeout(60000);
  it('x', async () => {
    const t0 = Date.now();
    const c = await trapCluster(HOME, { workloads: true });
    console.log('up', Date.now() - t0);
    try {
      console.log('clean preflight', await c.preflight(), Date.now() - t0);
      const text = c.example.clusterYml;
      for (const [name, yml] of [
        ['rename', text.replace('hostname_override: home-n4', 'hostname_override: home-x')],
        ['label', text.replace('home.example/disk: ssd', 'home.example/disk: nvme')],
      ] as const) {
        c.put('cluster.yml', yml);
        console.log(name, await c.preflight(), Date.now() - t0);
        const o = await c.up();
        console.log(naive(o), judged(o, EXISTING), Date.now() - t0, o.messages.filter(m=>/Renam/.test(m)).length);
        console.log('after', await c.preflight(), c.nodes());
        await new Promise((r) => setTimeout(r, 3000));
        console.log('3 s after', await c.preflight(), c.nodes());
        c.put('cluster.yml', text);
        await c.up();
      }
      const blocks = text.split(/(?=^ {4}- address: )/m);
      console.log(blocks.length);
      const swapped = [blocks[0], blocks[2], blocks[1], ...blocks.slice(3)].join('');
      c.put('cluster.yml', swapped);
      console.log('order', await c.preflight());
      const o = await c.up();
      console.log(naive(o), judged(o, EXISTING), o.messages.filter(m=>/Renam/.test(m)));
    } finally { await c.close(); }
  });
});
