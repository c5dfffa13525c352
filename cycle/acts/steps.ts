/** The acts of each step, bound to one context. One function a step, so that a task's bundle holds its own only. */
import type { Context } from '../context.ts';
import type { RemoveRoleActs } from '../steps/leave-precautions.ts';
import type { DeleteVmActs } from '../steps/delete-vm.ts';
import type { ProvisionActs } from '../steps/provision-node.ts';
import type { AddNodeActs } from '../steps/rke-add-node.ts';
import type { SwapDnsActs } from '../steps/swap-dns.ts';
import type { IngressActs } from '../steps/update-ingress.ts';
import { drainNode, label, removeOrphan, setCordon, setLeavingTaint } from './cluster.ts';
import { askForSync, changeDns, changeProxy, drainProxy, editValues } from './edges.ts';
import { moveLeader, snapshotEtcd, removeOrphanMember } from './etcd.ts';
import { writeFacts } from './facts.ts';
import { collectEvidence } from './evidence.ts';
import { buildImage, deleteVm, forgetHostKeys, pinHostKeys, stopVm } from './host.ts';
import { createVmOrGiveBack, releaseAddress, reserveAddress } from './reservations.ts';
import { editClusterYml, runRkeUp } from './rke.ts';

export function provisionActs(ctx: Context): ProvisionActs {
  return {
    buildImage: (host, image, signal) => buildImage(ctx, host, image, signal),
    reserveAddress: (name, signal) => reserveAddress(ctx, name, signal),
    createVm: (host, order, signal) => createVmOrGiveBack(ctx, host, order, signal),
    pinHostKeys: (node, address, port, signal) => pinHostKeys(ctx, node, address, port, signal),
    collectEvidence: (node, address, like, signal) => collectEvidence(ctx, node, address, like, signal),
  };
}

export function addNodeActs(ctx: Context): AddNodeActs {
  return {
    writeFacts: (change, signal) => writeFacts(ctx, change, signal),
    snapshot: (signal) => snapshotEtcd(ctx, signal),
    editClusterYml: (edit, message, signal) => editClusterYml(ctx, edit, message, signal),
    rkeUp: (change, signal) => runRkeUp(ctx, change, signal),
    label: (node, labels, signal) => label(ctx, node, labels, signal),
    uncordon: (node, signal) => setCordon(ctx, node, false, signal),
    removeLeavingTaint: (node, signal) => setLeavingTaint(ctx, node, false, signal),
  };
}

export function removeRoleActs(ctx: Context): RemoveRoleActs {
  return {
    ...addNodeActs(ctx),
    moveLeader: (node, signal) => moveLeader(ctx, node, signal),
    cordon: (node, signal) => setCordon(ctx, node, true, signal),
    drain: (node, signal) => drainNode(ctx, node, signal),
    addLeavingTaint: (node, signal) => setLeavingTaint(ctx, node, true, signal),
    removeMember: (node, signal) => removeOrphanMember(ctx, node, signal),
    removeOrphan: (node, signal) => removeOrphan(ctx, node, signal),
  };
}

export function deleteVmActs(ctx: Context): DeleteVmActs {
  return {
    stopVm: (vm, signal) => stopVm(ctx, vm, signal),
    deleteVm: (vm, signal) => deleteVm(ctx, vm, signal),
    forgetHostKeys: (node, address, signal) => forgetHostKeys(ctx, node, address, signal),
    changeDns: (change, signal) => changeDns(ctx, change, signal),
    label: (node, labels, signal) => label(ctx, node, labels, signal),
    writeFacts: (change, signal) => writeFacts(ctx, change, signal),
    releaseAddress: (name, mac, signal) => releaseAddress(ctx, name, mac, signal),
  };
}

export function swapDnsActs(ctx: Context): SwapDnsActs {
  return {
    nowMs: () => ctx.ports.clock.now(),
    changeDns: (change, signal) => changeDns(ctx, change, signal),
    writeFacts: (change, signal) => writeFacts(ctx, change, signal),
  };
}

export function ingressActs(ctx: Context): IngressActs {
  return {
    changeProxy: (name, change, signal) => changeProxy(ctx, name, change, signal),
    drainProxy: (name, address, signal) => drainProxy(ctx, name, address, signal),
    editValues: (edit, message, signal) => editValues(ctx, edit, message, signal),
    requestSync: (signal) => askForSync(ctx, signal),
    writeFacts: (change, signal) => writeFacts(ctx, change, signal),
  };
}
