/** @file Faults of ports, addresses and policies. */
import { type Fault, faultsOf, get, main, map, policy, remove } from "./fault.js";

export const OF_THE_NETWORK: Fault[] = [
  ...faultsOf("ports", "nvidia-gpu", [
    [
      "a probe of a port that is not there",
      /^StatefulSet coordinator coordinator: readinessProbe on http$/,
      (o) => {
        main(o, "coordinator").readinessProbe.httpGet.port = "http";
      },
    ],
    [
      "a port that the program does not listen on",
      /^StatefulSet coordinator coordinator: nothing listens on grpc 7433$/,
      (o) => {
        map(o, "coordinator-settings").RENDERFARM_LISTEN = "0.0.0.0:7444";
      },
    ],
    [
      "a port of the S3 that its arguments do not say",
      /^StatefulSet s3 s3: nothing listens on s3 8333$/,
      (o) => {
        const { args } = main(o, "s3");
        args[args.indexOf("-s3.port=8333")] = "-s3.port=8334";
      },
    ],
    [
      "a service of a port that no pod has",
      /^Service nats: not every pod of it has port client$/,
      (o) => {
        get(o, "Service", "nats").spec.ports[0].targetPort = "client";
      },
    ],
    [
      "a policy that lets in at another port",
      /^NetworkPolicy s3: not every pod of it has port 9000$/,
      (o) => {
        policy(o, "s3").ingress[0].ports[0].port = 9000;
      },
    ],
  ]),
  ...faultsOf("ports", "production", [
    [
      "a scrape of a port that no pod has",
      /^PodMonitor renderfarm: not every pod of it has port prometheus$/,
      (o) => {
        get(o, "PodMonitor", "renderfarm").spec.podMetricsEndpoints[0].port = "prometheus";
      },
    ],
  ]),
  ...faultsOf("default deny", "nvidia-gpu", [
    [
      "no policy that denies",
      /^no policy denies/,
      (o) => {
        remove(o, "NetworkPolicy", "default-deny");
      },
    ],
    [
      "one that denies what comes in alone",
      /^no policy denies/,
      (o) => {
        policy(o, "default-deny").policyTypes = ["Ingress"];
      },
    ],
    [
      "one for some pods alone",
      /^no policy denies/,
      (o) => {
        policy(o, "default-deny").podSelector = { matchLabels: { "renderfarm/role": "node" } };
      },
    ],
    [
      "a rule for whoever comes",
      /^NetworkPolicy coordinator: has a rule for everybody$/,
      (o) => {
        delete policy(o, "coordinator").ingress[0].from;
      },
    ],
    [
      "a rule to wherever",
      /^NetworkPolicy nats-users: has a rule for everybody$/,
      (o) => {
        policy(o, "nats-users").egress[0].to = [{}];
      },
    ],
    [
      "a rule for every port",
      /^NetworkPolicy nodes: has a rule for everybody$/,
      (o) => {
        delete policy(o, "nodes").ingress[0].ports;
      },
    ],
  ]),
  ...faultsOf("reach", "nvidia-gpu", [
    [
      "an address without a service",
      /: dials natz\.renderfarm\S+:4222, and there is no such service$/,
      (o) => {
        map(o, "coordinator-settings").RENDERFARM_JOURNAL =
          "nats://natz.renderfarm.svc.cluster.local:4222/main";
      },
    ],
    [
      "a port that the service has not",
      /^StatefulSet node-.*: dials s3\.renderfarm\S+:9000, and there is no such service$/,
      (o) => {
        const settings = map(o, "node-settings");
        settings.RENDERFARM_BLOBS = settings.RENDERFARM_BLOBS.replace("8333", "9000");
      },
    ],
    [
      "a coordinator that is not started",
      /: dials coordinator-1\.\S+, and there is no such pod$/,
      (o) => {
        get(o, "StatefulSet", "coordinator").spec.replicas = 1;
      },
    ],
    [
      "a node that is not let out",
      /^StatefulSet node-.*: is not let out to s3\.renderfarm/,
      (o) => {
        for (const name of ["node-denoise", "node-decode"]) {
          delete get(o, "StatefulSet", name).spec.template.metadata.labels["renderfarm/uses-s3"];
        }
        policy(o, "s3").ingress[0].from[0].podSelector.matchLabels = {};
      },
    ],
    [
      "a store that lets nobody in",
      /: is not let in at s3\.renderfarm/,
      (o) => {
        policy(o, "s3").ingress[0].from[0].podSelector.matchLabels = { a: "b" };
      },
    ],
    [
      "a journal that is let in from another namespace alone",
      /: is not let in at nats\.renderfarm/,
      (o) => {
        policy(o, "nats").ingress[0].from[0].namespaceSelector = { matchLabels: { a: "b" } };
      },
    ],
    [
      "nodes that may not call the coordinator",
      /^StatefulSet node-.*: is not let out to coordinator-/,
      (o) => {
        policy(o, "nodes").egress.pop();
      },
    ],
    [
      "no DNS",
      /: may ask no DNS$/,
      (o) => {
        remove(o, "NetworkPolicy", "dns");
      },
    ],
  ]),
  ...faultsOf("reach", "production", [
    [
      "an S3 outside that nobody may reach",
      /: is not let out to s3\.example\.com:443$/,
      (o) => {
        remove(o, "NetworkPolicy", "external-s3");
      },
    ],
    [
      "NATS servers that may not talk to each other",
      /^StatefulSet nats: is not let out to nats-/,
      (o) => {
        policy(o, "nats").egress = [];
      },
    ],
  ]),
  ...faultsOf("doors", "nvidia-gpu", [
    [
      "an API that no client reaches",
      /^StatefulSet coordinator: renderfarm\/clients opens "", not "grpc"$/,
      (o) => {
        policy(o, "coordinator").ingress[0].from.pop();
      },
    ],
    [
      "metrics that nobody may scrape",
      /: renderfarm\/metrics opens "", not "metrics"$/,
      (o) => {
        remove(o, "NetworkPolicy", "metrics");
      },
    ],
    [
      "a bus that is open to clients",
      /^StatefulSet node-.*: renderfarm\/clients opens "bus", not ""$/,
      (o) => {
        policy(o, "nodes").ingress[0].from.push({
          namespaceSelector: { matchLabels: { "renderfarm/clients": "true" } },
        });
      },
    ],
  ]),
  ...faultsOf("members", "production", [
    [
      "a coordinator that no node knows",
      /: knows coordinator-0,coordinator-1 of coordinator-0,coordinator-1,coordinator-2$/,
      (o) => {
        get(o, "StatefulSet", "coordinator").spec.replicas = 3;
      },
    ],
    [
      "more copies of the journal than servers",
      /^StatefulSet coordinator: wants 3 copies of 1 servers$/,
      (o) => {
        get(o, "StatefulSet", "nats").spec.replicas = 1;
      },
    ],
  ]),
];
