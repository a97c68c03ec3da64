// Makes the secrets of a farm in a cluster and prints them as YAML; nothing is kept in the tree.
//
//   node scripts/cluster-secrets.mjs --dir DIR [--nodes 8] [--namespace renderfarm]
//     [--no-certificates] | kubectl apply -f -
//
// DIR keeps the certificate authority, the users' keys and the seeds, so that a second run changes
// nothing but what is missing, and renews certificates. It belongs on an operator's machine. The key
// of a first user, "admin", is printed on stderr when it is made.
import { spawnSync } from "node:child_process";
import { randomBytes, webcrypto } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { prepare, root } from "./prepare.mjs";

const { values } = parseArgs({
  options: {
    dir: { type: "string" },
    nodes: { type: "string", default: "8" },
    namespace: { type: "string", default: "renderfarm" },
    "no-certificates": { type: "boolean", default: false },
    days: { type: "string", default: "30" },
  },
});
const { dir, namespace } = values;
if (!dir || !/^\d+$/.test(values.nodes)) {
  console.error(
    "usage: node scripts/cluster-secrets.mjs --dir DIR [--nodes N] | kubectl apply -f -",
  );
  process.exit(2);
}
prepare();
const DAY_MS = 86_400_000;
const POOLS = ["denoise", "decode", "any"];
const domain = `${namespace}.svc.cluster.local`;
const authority = join(dir, "certs");
const secrets = {};
mkdirSync(dir, { recursive: true, mode: 0o700 });

const keyFile = join(dir, "keys.json");
if (!existsSync(keyFile)) {
  const made = renderfarm(
    "keys",
    "create",
    "--owner",
    "admin",
    "--scopes",
    "admin,submit,read,cancel",
    "--api-keys",
    keyFile,
  );
  process.stderr.write(`key of the user admin, shown once: ${made}`);
}
secrets["api-keys"] = { "keys.json": read(keyFile) };
await natsUsers();
s3Users();
if (!values["no-certificates"]) await certificates();
const documents = Object.entries(secrets).map(([name, stringData]) =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace, labels: { "app.kubernetes.io/part-of": "renderfarm" } },
    type: "Opaque",
    stringData,
  }),
);
process.stdout.write(`${documents.join("\n---\n")}\n`);

/** One nkey a role, and the server's list of who may do what. */
async function natsUsers() {
  const { nkeys } = await import("nats");
  const names = await import("../dist/shared/adapters/nats/nats-names.js");
  const farm = { prefix: names.PREFIX_DEFAULT, farm: "main" };
  const users = ["coordinator", "node"].map((role) => {
    const seed = kept(`nats-${role}.seed`, () =>
      new TextDecoder().decode(nkeys.createUser().getSeed()),
    );
    secrets[`nats-${role}`] = { seed };
    const { publish, subscribe } = names.rolePermissions(role, farm);
    const nkey = nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey();
    const permissions = { publish: { allow: publish }, subscribe: { allow: subscribe } };
    return { nkey, permissions };
  });
  secrets["nats-users"] = {
    "users.conf": `authorization: ${JSON.stringify({ users }, null, 2)}\n`,
  };
}

/**
 * Users of the farm's own S3, as docs/s3.md has them: coordinator and node read and write one bucket and
 * read the checkpoints, the signer reads what clips are made of and nothing else. The operator is no part
 * of the farm: who fills the bucket of checkpoints.
 */
function s3Users() {
  const own = "renderfarm"; // the bucket, and the prefix in it that RENDERFARM_BLOBS has by default
  const working = [
    ...["Read", "Write", "List"].map((action) => `${action}:${own}`),
    ...["Read:renderfarm-models", "List:renderfarm-models"],
  ];
  const identities = [
    s3User("coordinator", working),
    s3User("node", working),
    s3User("signer", [`Read:${own}/${own}/v1/*`]),
  ];
  for (const { name, credentials } of identities) {
    const [{ accessKey, secretKey }] = credentials;
    secrets[`s3-${name}`] = { "access-key": accessKey, "secret-key": secretKey };
  }
  const config = { identities: [...identities, s3User("operator", ["Admin"])] };
  secrets["s3-server"] = { "s3.json": JSON.stringify(config, null, 2) };
}

function s3User(name, actions) {
  const [accessKey, secretKey] = kept(`s3-${name}`, () =>
    [randomBytes(10).toString("hex"), randomBytes(24).toString("hex")].join("\n"),
  ).split("\n");
  return { name, credentials: [{ accessKey, secretKey }], actions };
}

async function certificates() {
  const { AuthorityFolder } = await import("../dist/shared/adapters/tls/authority-folder.js");
  const rootLife = { farm: "renderfarm", lifeMs: 3650 * DAY_MS, nowMs: Date.now };
  const folder = existsSync(join(authority, "ca/root.pem"))
    ? AuthorityFolder.open(authority, Date.now)
    : await AuthorityFolder.create(authority, rootLife);
  const life = { lifeMs: Number(values.days) * DAY_MS };
  const here = ["localhost", "127.0.0.1"];
  const hosts = [0, 1].map((i) => `coordinator-${i}.coordinator.${domain}`);
  const dialled = [...hosts, `coordinator.${domain}`, ...here];
  await folder.issue({ role: "coordinator", name: "" }, { ...life, hosts: dialled });
  const ca = read(folder.caPath);
  secrets["farm-ca"] = { "ca.crt": ca };
  secrets["coordinator-tls"] = { "ca.crt": ca, ...pair("coordinator") };
  const nodes = {};
  for (const pool of POOLS) {
    for (let i = 0; i < Number(values.nodes); i++) {
      const id = `node-${pool}-${i}`;
      await folder.issue({ role: "node", name: id }, life);
      const { "tls.crt": certificate, "tls.key": key } = pair(`node/${id}`);
      Object.assign(nodes, { [`${id}.crt`]: certificate, [`${id}.key`]: key });
    }
  }
  secrets["node-tls"] = nodes;
  await folder.issue({ role: "user", name: "prometheus" }, life);
  secrets["metrics-client"] = { "ca.crt": ca, ...pair("user/prometheus") };
  const natsHosts = [`nats.${domain}`, ...[0, 1, 2].map((i) => `nats-${i}.nats.${domain}`)];
  secrets["nats-tls"] = { "ca.crt": ca, ...(await serverPair("nats", [...natsHosts, ...here])) };
  secrets["s3-tls"] = { "ca.crt": ca, ...(await serverPair("s3", [`s3.${domain}`, ...here])) };
}

function pair(name) {
  const folder = join(authority, name);
  return { "tls.crt": read(join(folder, "cert.pem")), "tls.key": read(join(folder, "key.pem")) };
}

/** Of a server that is no part of the farm: a certificate that speaks for nobody in it. */
async function serverPair(name, hosts) {
  await import("reflect-metadata");
  const { isIP } = await import("node:net");
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto);
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const ca = new x509.X509Certificate(read(join(authority, "ca/root.pem")));
  const [der] = x509.PemConverter.decode(read(join(authority, "ca/root.key")));
  const signingKey = await webcrypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const nowMs = Date.now();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: `40${randomBytes(15).toString("hex")}`,
    subject: `CN=${name}`,
    issuer: ca.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    notBefore: new Date(nowMs - 300_000),
    notAfter: new Date(Math.min(nowMs + Number(values.days) * 86_400_000, ca.notAfter.getTime())),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      // NATS servers dial each other, too.
      new x509.ExtendedKeyUsageExtension([
        x509.ExtendedKeyUsage.serverAuth,
        x509.ExtendedKeyUsage.clientAuth,
      ]),
      new x509.SubjectAlternativeNameExtension(
        hosts.map((value) => ({ type: isIP(value) ? "ip" : "dns", value })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(ca, false, webcrypto),
    ],
  });
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    "tls.crt": `${certificate.toString("pem")}\n`,
    "tls.key": `${x509.PemConverter.encode(pkcs8, "PRIVATE KEY")}\n`,
  };
}

/** What was made before, or is made now and kept. */
function kept(name, make) {
  const path = join(dir, name);
  if (!existsSync(path)) writeFileSync(path, make(), { mode: 0o600 });
  return read(path);
}

function renderfarm(...args) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, "dist/cli/main.js"), ...args],
    { encoding: "utf8" },
  );
  if (status === 0) return stdout;
  process.stderr.write(stderr);
  process.exit(1);
}

function read(path) {
  return readFileSync(path, "utf8");
}
