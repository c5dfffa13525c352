import { HOME } from '../../lab/example.ts';
import { trapCluster, naive } from './cluster.ts';
describe('probe', function () {
  this.timeout(60000);
  it('x', async () => {
    let t = Date.now(); const lap = (s: string) => { console.log(s, Date.now() - t); t = Date.now(); };
    const d = await trapCluster(HOME); lap('up bare');
    await d.close(); lap('close');
    const c = await trapCluster(HOME, {workloads: true}); lap('up');
    await c.close(); lap('close');
    const e = await trapCluster(HOME); lap('up bare');
    await e.around.etcd.stop('etcd-home-n3', 'kill');
    e.put('cluster.yml', e.without(0));
    const run = await e.up(); lap('run');
    console.log(naive(run), run.messages.filter(m => /etcd/.test(m)).slice(0,60).join('\n'));
    console.log(await e.etcd.members());
    await e.close();
  });
});
