// MinIO's server: no longer maintained by its makers, and still what many S3 users run.
export const server = {
  name: "minio",
  version: "20260212",
  binary: "minio",
  go: "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c",
};
