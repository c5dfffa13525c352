/** Every act of every step, bound to one context. */
import type { Context } from '../context.ts';
import type { AllActs } from '../plan/path.ts';
import * as cluster from './cluster.ts';
import * as edges from './edges.ts';
import * as etcd from './etcd.ts';
import { writeFacts } from './facts.ts';
import * as host from './host.ts';
import { editClusterYml, runRkeUp } from './rke.ts';

export function allActs(ctx: Context): AllActs {
  return {
    nowMs: () => ctx.ports.clock.now(),
    writeFacts: (change, signal) => writeFacts(ctx, change, signal),

    buildImage: (image, signal) => host.buildImage(ctx, image, signal),
    createVm: (order, signal) => host.createVm(ctx, order, signal),
    stopVm: (id, signal) => host.stopVm(ctx, id, signal),
    deleteVm: (id, signal) => host.deleteVm(ctx, id, signal),
    pinHostKeys: (node, address, port, signal) => host.pinHostKeys(ctx, node, address, port, signal),

    editClusterYml: (edit, message, signal) => editClusterYml(ctx, edit, message, signal),
    rkeUp: (change, signal) => runRkeUp(ctx, change, signal),
    label: (node, labels, signal) => cluster.label(ctx, node, labels, signal),
    cordon: (node, signal) => cluster.setCordon(ctx, node, true, signal),
    uncordon: (node, signal) => cluster.setCordon(ctx, node, false, signal),
    drain: (node, signal) => cluster.drainNode(ctx, node, signal),
    addLeavingTaint: (node, signal) => cluster.setLeavingTaint(ctx, node, true, signal),
    removeLeavingTaint: (node, signal) => cluster.setLeavingTaint(ctx, node, false, signal),
    removeOrphan: (node, signal) => cluster.removeOrphan(ctx, node, signal),
    snapshot: (signal) => etcd.snapshotEtcd(ctx, signal),
    moveLeader: (node, signal) => etcd.moveLeader(ctx, node, signal),

    changeProxy: (name, edit, signal) => edges.changeProxy(ctx, name, edit, signal),
    drainProxy: (name, address, signal) => edges.drainProxy(ctx, name, address, signal),
    editValues: (edit, message, signal) => edges.editValues(ctx, edit, message, signal),
    requestSync: (signal) => edges.askForSync(ctx, signal),
    changeDns: (change, signal) => edges.changeDns(ctx, change, signal),
  };
}
