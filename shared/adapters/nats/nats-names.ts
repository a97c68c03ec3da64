/**
 * @file Names on a NATS server, and what each role may do with them.
 *
 * `<prefix>.v1.cfg.<node>.<task>.<epoch>`  halves for a node      (core)
 * `<prefix>.v1.journal.<farm>`             the farm's events      (stream RF_JOURNAL_<farm>)
 * `$KV.RF_LEASE_<farm>.leader`             who leads              (KV bucket RF_LEASE_<farm>)
 *
 * The receiving node comes first, so that a farm may give every node a user of its own that reads
 * what is for that node and nothing else.
 */

/** One farm of those that share a server. */
export interface FarmNames {
  /** First token of the farm's subjects: [a-z0-9-], 1 to 32 characters. */
  readonly prefix: string;
  /** Name in streams and buckets: [a-z0-9-], 1 to 32 characters. */
  readonly farm: string;
}

export const PREFIX_DEFAULT = "rf";
export const FARM_DEFAULT = "farm";
/** What a prefix, a farm's name and a role may be: one token of a subject, and part of a stream's name. */
export const NAME_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/;

/** What a program is to the server; each role is a user of its own. */
export type NatsRole = "coordinator" | "node" | "observer";

/** Subjects that a user may publish to and subscribe to; everything else is refused. */
export interface RolePermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export function journalStream({ farm }: FarmNames): string {
  return `RF_JOURNAL_${farm}`;
}

export function journalSubject({ prefix, farm }: FarmNames): string {
  return `${prefix}.v1.journal.${farm}`;
}

export function leaseBucket({ farm }: FarmNames): string {
  return `RF_LEASE_${farm}`;
}

/** Where the halves for a node come in; a channel's name follows. */
export function busSubject({ prefix }: Pick<FarmNames, "prefix">, nodeId: string): string {
  return `${prefix}.v1.cfg.${nodeId}`;
}

/** Prefix of the subjects on which answers to a role's requests come. */
export function inboxPrefix(role: NatsRole): string {
  return `_INBOX_${role}`;
}

/**
 * The narrowest rights that each role works with: allow-lists, and never all of `$JS`.
 *
 * An observer reads how the journal and the lease stand, and no record of either.
 */
export function rolePermissions(role: NatsRole, names: FarmNames): RolePermissions {
  const stream = journalStream(names);
  const bucket = leaseBucket(names);
  const subscribe = [`${inboxPrefix(role)}.>`];
  switch (role) {
    case "node":
      return {
        publish: [`${names.prefix}.v1.cfg.>`],
        subscribe: [...subscribe, `${names.prefix}.v1.cfg.>`],
      };
    case "coordinator":
      return {
        publish: [
          "$JS.API.INFO",
          ...["INFO", "CREATE", "PURGE", "MSG.GET"].map(
            (verb) => `$JS.API.STREAM.${verb}.${stream}`,
          ),
          `$JS.API.CONSUMER.CREATE.${stream}.>`,
          `$JS.API.CONSUMER.DELETE.${stream}.>`,
          `$JS.API.CONSUMER.INFO.${stream}.>`,
          `$JS.API.CONSUMER.MSG.NEXT.${stream}.>`,
          `$JS.API.STREAM.INFO.KV_${bucket}`,
          `$JS.API.STREAM.CREATE.KV_${bucket}`,
          `$JS.API.STREAM.MSG.GET.KV_${bucket}`,
          `$KV.${bucket}.leader`,
          journalSubject(names),
        ],
        subscribe,
      };
    case "observer":
      return {
        publish: [`$JS.API.STREAM.INFO.${stream}`, `$JS.API.STREAM.INFO.KV_${bucket}`],
        subscribe,
      };
  }
}
