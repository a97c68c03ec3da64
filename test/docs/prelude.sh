# Typed before the commands of a document: what stands in for machines that a test does not have.
# ROOT is the checkout, WORLD the folder of the test, NODE and KUSTOMIZE are programs.

shopt -s expand_aliases
cli() { "$NODE" "$ROOT/bin/renderfarm" "$@"; }

# A server runs beside the commands that follow; another one of the same name takes its place.
declare -A SERVERS
stop_server() {
  [ -n "${SERVERS[$1]:-}" ] || return 0
  kill -TERM "${SERVERS[$1]}"
  wait "${SERVERS[$1]}" || { echo "$1 ended with $?" >&2; cat "$WORLD/$1.log" >&2; return 1; }
  unset "SERVERS[$1]"
}
serve() {
  local name=$1 ready=$2
  shift 2
  stop_server "$name"
  : > "$WORLD/$name.log"
  "$@" >> "$WORLD/$name.log" 2>&1 &
  SERVERS[$name]=$!
  grep -qm1 -E "$ready" < <(tail --pid=$! -n +1 -f "$WORLD/$name.log") && return
  cat "$WORLD/$name.log" >&2
  return 1
}
stop_all() { local name; for name in "${!SERVERS[@]}"; do stop_server "$name"; done; }
trap stop_all EXIT

renderfarm() {
  if [ "$1" != dev ]; then cli "$@"; return; fi
  serve dev '^console: ' "$NODE" "$ROOT/bin/renderfarm" "$@" --port "$PORT" --http-port "$HTTP_PORT" --threads 1
}
# The tools of the checkout, wherever a command is typed.
npx() { "$ROOT/node_modules/.bin/$1" "${@:2}"; }
bin/renderfarm() { renderfarm "$@"; }
node() {
  local script=$1
  shift
  case $script in
    dist/coordinator/main.js)
      stop_server dev # on another machine, here the same port
      COORDINATOR=("$NODE" "$ROOT/$script" "$@")
      serve coordinator '"msg":"listening"' "${COORDINATOR[@]}" ;;
    dist/gpu-node/main.js)
      serve "$(grep -oP '(?<=--node-id )\S+' <<< "$*")" 'welcomed by the coordinator' "$NODE" "$ROOT/$script" "$@" ;;
    *) "$NODE" "$ROOT/$script" "$@" ;;
  esac
}
systemctl() {
  [ "$2" = renderfarm-coordinator ] || return 1
  case $1 in
    stop) stop_server coordinator ;;
    start) serve coordinator '"msg":"listening"' "${COORDINATOR[@]}" ;;
    *) return 1 ;;
  esac
}

# No cluster and no image builder: what they would be given is made and looked at.
kubectl() {
  if [ "$1" = -n ]; then shift 2; fi
  case "$1 $2" in
    "apply -k") "$KUSTOMIZE" build "$ROOT/$3" | objects ;;
    "apply -f") if [ "$3" = - ]; then objects; else objects < "$ROOT/$3"; fi ;;
    "wait --for=condition=Ready" | "rollout restart") applied "$3" ;;
    "delete pod") applied "pod/$3" ;;
    # The claim that a pod mounts at /models is a folder here.
    "cp "*) applied "pod/${3%%:*}" && mkdir -p "$WORLD/claim" && cp -r "$2" "$WORLD/claim/${3#*:/models/}" ;;
    "exec "*) applied "pod/$2" && shift 3 && "${@//\/models\//$WORLD/claim/}" ;;
    *) echo "kubectl $* has no stand-in" >&2; return 1 ;;
  esac
}
# Whether an object was applied before: pod/NAME, or statefulset/NAME of any name where none is given.
applied() { grep -qi "^$1" "$WORLD/applied" || { echo "there is no $1" >&2; return 1; }; }
objects() {
  "$NODE" --input-type=module -e '
    import { readFileSync } from "node:fs";
    const { parseAllDocuments } = await import(process.env.ROOT + "/node_modules/yaml/dist/index.js");
    const found = parseAllDocuments(readFileSync(0, "utf8")).map((document) => {
      if (document.errors.length > 0) throw document.errors[0];
      return document.toJS();
    });
    if (found.length === 0 || !found.every((o) => o.kind && o.metadata.name)) throw new Error("no objects");
    for (const { kind, metadata } of found) console.log(`${kind}/${metadata.name}`);
  ' >> "$WORLD/applied"
}
docker() {
  [ "$1 $2 $4 $6 $8" = "build -f --target -t ." ] || { echo "docker $* has no stand-in" >&2; return 1; }
  grep -q "^FROM .* AS $5\$" "$ROOT/$3"
}
