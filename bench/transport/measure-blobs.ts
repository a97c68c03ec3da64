/** @file Puts and gets of an S3 store a second, beside the bare client that our store is made of. */
import { randomBytes } from "node:crypto";
import { Client } from "minio";
import { S3BlobStore } from "../../shared/adapters/s3/s3-blob-store.js";
import { silentLog } from "../../shared/ports/log.js";
import { TestS3Server } from "../../test/servers/s3-server.js";
import { type Figure, noted } from "../farm/figures.js";
import { median } from "../statistics.js";

/** A step checkpoint of SVD-XT is 4 MB; a chunk of its frames 64 MB. */
const SIZES = [
  { name: "4 MB", bytes: 4_000_000, rounds: 12 },
  { name: "64 MB", bytes: 64_000_000, rounds: 4 },
] as const;

/** One round trip of some bytes; what comes back is thrown away. */
interface Way {
  readonly put: (name: string, bytes: Buffer) => Promise<() => Promise<unknown>>;
}

export async function measureBlobs(): Promise<Figure[]> {
  const server = await TestS3Server.start("seaweedfs");
  const location = server.location();
  const credentials = server.credentials();
  const parts = { location, credentials, log: silentLog, role: "publishes" } as const;
  const store = await S3BlobStore.open(parts);
  try {
    const figures: Figure[] = [];
    for (const size of SIZES) {
      const [ours, bare] = await takingTurns(size, [ourWay(store), bareWay(server)]);
      figures.push(...rowsOf(size.name, "put", ours!.puts, bare!.puts));
      figures.push(...rowsOf(size.name, "get", ours!.gets, bare!.gets));
    }
    return figures;
  } finally {
    store.close();
    await server.stop();
  }
}

function ourWay(store: S3BlobStore): Way {
  return {
    put: async (name, bytes) => {
      const ref = await store.put(`ours/${name}`, bytes);
      return () => store.get(ref);
    },
  };
}

/** Neither deadlines nor tries, and nobody checks what comes back. */
function bareWay(server: TestS3Server): Way {
  const { bucket, endpoint, region } = server.location();
  const { hostname, port } = new URL(endpoint);
  const { accessKey, secretKey } = server.credentials();
  const at = { endPoint: hostname, port: Number(port), useSSL: false, region };
  const client = new Client({ ...at, accessKey, secretKey });
  return {
    put: async (name, bytes) => {
      await client.putObject(bucket, `bare/${name}`, bytes);
      return async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of await client.getObject(bucket, `bare/${name}`)) {
          chunks.push(chunk as Buffer);
        }
        return Buffer.concat(chunks);
      };
    },
  };
}

interface Rates {
  /** MB a second of each round. */
  readonly puts: number[];
  readonly gets: number[];
}

/** Turn about, so that what else the machine does meets all ways; the first round warms up. */
async function takingTurns(
  { bytes: size, rounds }: { readonly bytes: number; readonly rounds: number },
  ways: readonly Way[],
): Promise<Rates[]> {
  const rates = ways.map((): Rates => ({ puts: [], gets: [] }));
  const bytes = randomBytes(size);
  for (let round = 0; round <= rounds; round++) {
    for (const [i, way] of ways.entries()) {
      const startMs = performance.now();
      const get = await way.put(`${size}-${round}`, bytes);
      const putMs = performance.now();
      await get();
      const endMs = performance.now();
      if (round === 0) continue;
      rates[i]!.puts.push(size / 1_000 / (putMs - startMs));
      rates[i]!.gets.push(size / 1_000 / (endMs - putMs));
    }
  }
  return rates;
}

function rowsOf(
  size: string,
  verb: string,
  ours: readonly number[],
  bare: readonly number[],
): Figure[] {
  const [our, theirs] = [median(ours), median(bare)];
  return [
    noted(`${verb} of ${size}, S3BlobStore, median`, our, "MB/s"),
    noted(`${verb} of ${size}, bare minio client, median`, theirs, "MB/s"),
    noted(`${verb} of ${size}, bare / S3BlobStore`, theirs / our, ""),
  ];
}
