/**
 * The four functions of the Reflect metadata proposal that tsyringe (below @peculiar/x509) asks for when it
 * loads. Import this before @peculiar/x509. Does nothing when somebody else has brought the whole polyfill.
 */

type Key = string | symbol | undefined;

interface MetadataReflect {
  defineMetadata(key: unknown, value: unknown, target: object, property?: string | symbol): void;
  getMetadata(key: unknown, target: object, property?: string | symbol): unknown;
  getOwnMetadata(key: unknown, target: object, property?: string | symbol): unknown;
  hasOwnMetadata(key: unknown, target: object, property?: string | symbol): boolean;
}

const reflect = Reflect as unknown as Partial<MetadataReflect>;

if (typeof reflect.getMetadata !== 'function') {
  const kept = new WeakMap<object, Map<Key, Map<unknown, unknown>>>();
  const own = (target: object, property: Key) => kept.get(target)?.get(property);
  reflect.defineMetadata = (key, value, target, property) => {
    const properties = kept.get(target) ?? new Map<Key, Map<unknown, unknown>>();
    kept.set(target, properties);
    const values = properties.get(property) ?? new Map<unknown, unknown>();
    properties.set(property, values);
    values.set(key, value);
  };
  reflect.getOwnMetadata = (key, target, property) => own(target, property)?.get(key);
  reflect.hasOwnMetadata = (key, target, property) => own(target, property)?.has(key) ?? false;
  reflect.getMetadata = (key, target, property) => {
    for (let at: object | null = target; at !== null; at = Object.getPrototypeOf(at) as object | null) {
      const values = own(at, property);
      if (values?.has(key) === true) return values.get(key);
    }
    return undefined;
  };
}
