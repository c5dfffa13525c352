/** What goes wrong in the lab because somebody asked for it, and what other people do to the cluster meanwhile. */
import { CodedError } from '../../ports/errors.ts';
import type { Hosts } from './hosts/hosts.ts';
import type { Kube } from './kube/kube.ts';
import type { World } from './world.ts';

export type Fault =
  /** The VM of this machine loses its power (`on: false` gives it back). */
  | { fault: 'powerOff'; machine: string; on?: boolean }
  /** A person cordons a node, or takes that back. */
  | { fault: 'cordon'; node: string; on?: boolean }
  /** A budget that never allows an eviction of the pods with these labels. */
  | { fault: 'blockingBudget'; namespace: string; name: string; labels: Record<string, string>; on?: boolean }
  /** The apiserver of this machine does not answer. */
  | { fault: 'apiserverAway'; machine: string; on?: boolean }
  /** The pod ignores every request to end. */
  | { fault: 'stuckPod'; namespace: string; name: string; on?: boolean };

export interface Faults {
  /** Throws NC9201 when what it names is not there. */
  apply(fault: Fault): void;
  /** Faults applied so far, for the report. */
  readonly log: Fault[];
}

export function createFaults({ world, hosts, kube }: { world: World; hosts: Hosts; kube: Kube }): Faults {
  const log: Fault[] = [];
  const machine = (name: string) => {
    const found = [...world.machines.values()].find(
      (m) => m.name === name || m.address === name || m.kubelet?.nodeName === name,
    );
    if (found === undefined) throw new CodedError('NC9201', `no such machine: ${name}`);
    return found;
  };
  const set = <T>(values: Set<T>, value: T, on: boolean): void => {
    if (on) values.add(value);
    else values.delete(value);
  };
  const budget = (fault: Extract<Fault, { fault: 'blockingBudget' }>, on: boolean): void => {
    if (!on) {
      kube.store.remove('poddisruptionbudgets', fault.name, fault.namespace);
      return;
    }
    kube.store.create('poddisruptionbudgets', {
      apiVersion: 'policy/v1beta1',
      kind: 'PodDisruptionBudget',
      metadata: { name: fault.name, namespace: fault.namespace },
      spec: { maxUnavailable: 0, selector: { matchLabels: fault.labels } },
    });
  };
  return {
    log,
    apply(fault) {
      const on = fault.on ?? true;
      switch (fault.fault) {
        case 'powerOff': {
          const { vmId } = machine(fault.machine);
          void (on ? hosts.powerOff(vmId, 'cut') : hosts.powerOn(vmId));
          break;
        }
        case 'cordon': {
          const changed = kube.store.change('nodes', fault.node, undefined, (node) => {
            if (on) node.spec.unschedulable = true;
            else delete node.spec.unschedulable;
          });
          if (changed === undefined) throw new CodedError('NC9201', `no such node: ${fault.node}`);
          break;
        }
        case 'blockingBudget':
          budget(fault, on);
          break;
        case 'apiserverAway': {
          const away = machine(fault.machine);
          set(kube.away, away.vmId, on);
          world.emit({ kind: on ? 'apiserver.away' : 'apiserver.back', machine: away });
          break;
        }
        case 'stuckPod':
          set(kube.stuck, `${fault.namespace}/${fault.name}`, on);
          break;
        default:
          throw new CodedError('NC9201', `no such fault: ${(fault as { fault: string }).fault}`);
      }
      log.push(fault);
    },
  };
}
