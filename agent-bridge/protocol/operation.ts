/**
 * What an operation is. One value holds everything about it; types, the client, the server's check, the policy's
 * rules and the text of `check` are derived from it, so they cannot come apart.
 */
import * as z from 'zod/mini';

/**
 * The policy rule that bounds one parameter: each names the lines of `bridge.yaml` that the value is held against.
 * `ofItsType` is for values whose type alone makes them harmless; it still has to be written down.
 */
export type Rule =
  | 'clusters'
  | 'names'
  | 'sizes'
  | 'images'
  | 'addressRanges'
  | 'macPrefixes'
  | 'ownVm'
  | 'zones'
  | 'dnsNames'
  | 'dnsData'
  | 'dnsTypes'
  | 'ttl'
  | 'fence'
  | 'ofItsType';

/** A parameter cannot be written without its rule: `params` accepts nothing else. */
export interface Param<S extends z.core.$ZodType = z.core.$ZodType> {
  readonly schema: S;
  readonly rule: Rule;
}

export const param = <S extends z.core.$ZodType>(schema: S, rule: Rule): Param<S> => ({ schema, rule });

export type ParamShape = Readonly<Record<string, Param>>;
type Schemas<P extends ParamShape> = { [K in keyof P]: P[K]['schema'] };
export type ParamsOf<P extends ParamShape> = z.core.output<z.ZodMiniObject<Schemas<P>, z.core.$strict>>;

/** Changes run one at a time in each lane. */
export type Lane = 'image' | 'vm' | 'dns';

/** Which daily budget a change is charged to. */
export type Budget = 'creations' | 'deletions' | 'imageBuilds' | 'dnsSwaps' | 'stops';

export interface Operation<
  N extends string = string,
  P extends ParamShape = ParamShape,
  R extends z.core.$ZodType = z.core.$ZodType,
> {
  readonly name: N;
  readonly params: P;
  /** `params` as one strict schema: an unknown key refuses. */
  readonly schema: z.ZodMiniObject<Schemas<P>, z.core.$strict>;
  readonly result: R;
  /** Longest time the host's part may take. */
  readonly deadlineMs: number;
  /** Parameters that the log shows as `***`. */
  readonly redact: readonly (keyof P & string)[];
  readonly kind: 'read' | 'change';
  readonly lane?: Lane;
  readonly budget?: Budget;
  /** What a job acts on; jobs with one target follow each other. Built from checked parameters. */
  readonly target?: (params: ParamsOf<P>) => string;
  /** One sentence for `check` and the reference. */
  readonly does: string;
}

interface Definition<N extends string, P extends ParamShape, R extends z.core.$ZodType> {
  name: N;
  does: string;
  params: P;
  result: R;
  deadlineMs: number;
  redact: readonly (keyof P & string)[];
}

export function read<const N extends string, P extends ParamShape, R extends z.core.$ZodType>(
  definition: Definition<N, P, R>,
) {
  return { ...definition, kind: 'read' as const, schema: strict(definition.params) };
}

export function change<const N extends string, P extends ParamShape, R extends z.core.$ZodType>(
  definition: Definition<N, P, R> & {
    lane: Lane;
    budget: Budget;
    target: (params: ParamsOf<P>) => string;
  },
) {
  return { ...definition, kind: 'change' as const, schema: strict(definition.params) };
}

function strict<P extends ParamShape>(params: P): z.ZodMiniObject<Schemas<P>, z.core.$strict> {
  const shape = Object.fromEntries(Object.entries(params).map(([key, { schema }]) => [key, schema]));
  return z.strictObject(shape as Schemas<P>);
}
