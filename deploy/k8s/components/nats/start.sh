#!/bin/sh
# Starts the server, and has it read its files again whenever they have changed: it looks at them only
# when it is told to, and left alone would show a certificate that has ended. Connections stay as they are.
sum() { cat /config/* /users/* /tls/* | sha256sum; }
follow() {
  known=$(sum)
  while sleep 5 && kill -0 $$; do
    now=$(sum)
    if [ "$now" != "$known" ]; then
      known=$now
      kill -HUP $$
    fi
  done
}
follow 2> /dev/null &
exec nats-server --config /config/nats.conf --pid /tmp/nats.pid
