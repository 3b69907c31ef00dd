/** Pieces that the schemas of many operations share; see contract.ts. */
import Type, { type TSchema } from 'typebox';

export const exact = { additionalProperties: false };

export const bytes = (description: string) => Type.Integer({ minimum: 0, description });
export const count = (description: string) => Type.Integer({ minimum: 0, description });
export const text = (description: string) => Type.String({ description });
export const time = (description: string) => Type.String({ format: 'date-time', description });
export const uuid = (description: string) => Type.String({ format: 'uuid', description });
export const orNull = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** Names are checked in full by the control plane, whose messages say which letter is wrong. */
export const volumeName = Type.String({
  minLength: 1,
  maxLength: 255,
  description: "1 to 63 of a–z, A–Z, 0–9, '.', '_' and '-', beginning with a letter or digit.",
  expected: 'a name',
});
export const policyName = Type.Union([Type.String({ minLength: 1, maxLength: 63 }), Type.Null()], {
  description: 'Name of the policy that limits its hosts; null: none.',
  expected: 'a name, or null',
});
export const volumeRef = Type.String({ minLength: 1, description: "A volume's name or UUID." });

/** A page of things. */
export function pageOf<T extends TSchema>(item: T) {
  return Type.Object(
    {
      items: Type.Array(item),
      next: orNull(text('Give it as `cursor` to get the next page; null: this was the last.')),
    },
    exact,
  );
}

export const none = Type.Object({}, exact);
export const inTenant = {
  tenant: Type.Optional(
    Type.String({ minLength: 1, description: "Tenant; 'default' when not given." }),
  ),
};
export const repeatable = {
  repeatable: Type.Optional(
    Type.Enum(['true', 'false'], {
      description: "'true': succeed when the effect is there already.",
    }),
  ),
};
export const force = {
  force: Type.Optional(
    Type.Enum(['true', 'false'], {
      description: "'true': although hosts are connected; they are told of in an event.",
    }),
  ),
};
export const paging = {
  limit: Type.Optional(
    Type.String({
      pattern: '^([1-9][0-9]{0,2}|1000)$',
      description: 'At most this many, 1 to 1000; 1000 when not given.',
      expected: 'a whole number from 1 to 1000',
    }),
  ),
  cursor: Type.Optional(Type.String({ maxLength: 1024, description: '`next` of a page.' })),
};
/** A filter of lists by name. */
export const named = {
  name: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 255,
      description: 'Only those whose name has this in it, whatever the case.',
    }),
  ),
};
export const ofHost = {
  host: Type.Optional(
    Type.String({ minLength: 1, maxLength: 255, description: 'Only of this host, by its NQN.' }),
  ),
};
export const trueOrFalse = (description: string) =>
  Type.Optional(Type.Enum(['true', 'false'], { description }));
export const ofTenant = {
  tenant: Type.Optional(Type.String({ minLength: 1, description: 'Only of this tenant.' })),
};
export const repeat = Type.Object({ ...repeatable }, exact);
export const target = Type.Object({ ...inTenant }, exact);
export const change = Type.Object({ ...inTenant, ...repeatable }, exact);
export const hostNqn = Type.String({
  minLength: 1,
  maxLength: 255,
  description: 'NQN of the host.',
  expected: "a host NQN such as 'nqn.2014-08.org.nvmexpress:uuid:…'",
});
export const snapshotRef = Type.String({
  minLength: 1,
  description: "A snapshot as 'volume@name', or its UUID.",
});
export const snapshotParams = Type.Object({ snapshot: snapshotRef }, exact);
export const volumeParams = Type.Object({ volume: volumeRef }, exact);

export const sourceRef = Type.String({
  minLength: 1,
  description: "A volume's name or UUID, or a snapshot's 'volume@name' or UUID.",
});
export const hostRef = Type.String({
  minLength: 1,
  maxLength: 255,
  description: "A host NQN, or '*' for any host.",
  expected: "a host NQN such as 'nqn.2014-08.org.nvmexpress:uuid:…', or '*'",
});
export const forced = Type.Object({ ...inTenant, ...repeatable, ...force }, exact);
