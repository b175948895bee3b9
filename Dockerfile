# glacis in a container: built in one stage, run in another that holds the program and its libraries only.
#
#   docker build -t glacis .
#   docker run -d --name glacis --read-only -p 25:25 -v glacis-state:/var/lib/glacis \
#       -e GLACIS_DOMAINS=example.com -e GLACIS_UPSTREAM=10.1.1.10:25 -e GLACIS_HOSTNAME=mx1.example.com glacis
#
# Instead of the variables: -v ./glacis.yaml:/etc/glacis/glacis.yaml:ro.  It runs as uid 10025; Docker and Podman
# let it bind port 25 (net.ipv4.ip_unprivileged_port_start is 0 there); where that is not so, listen on another
# port or add NET_BIND_SERVICE.  /metrics, /healthz and /readyz are on 127.0.0.1:8025 within the container;
# to publish them set admin.listen: "0.0.0.0:8025" and admin.token.
FROM debian:trixie-slim AS build
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev cmake make pkg-config libevent-dev libc-ares-dev libssl-dev libyaml-dev libidn2-dev \
        libpcre2-dev libseccomp-dev libsqlite3-dev libhiredis-dev \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# A library that is newer than the tree was written for may deprecate what it still has.
RUN cmake -S . -B /build -DCMAKE_BUILD_TYPE=release -DGLACIS_TESTS=OFF \
        -DCMAKE_C_FLAGS=-Wno-error=deprecated-declarations \
    && cmake --build /build -j "$(nproc)" --target glacis \
    && strip /build/glacis

FROM debian:trixie-slim
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        ca-certificates libevent-core-2.1-7t64 libcares2 libssl3t64 libyaml-0-2 libidn2-0 \
        libpcre2-8-0 libseccomp2 libsqlite3-0 libhiredis1.1.0 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10025 glacis \
    && useradd --system --uid 10025 --gid 10025 --home-dir /var/lib/glacis --shell /usr/sbin/nologin glacis \
    && install -d -o 10025 -g 10025 -m 0750 /var/lib/glacis \
    && install -d -m 0755 /etc/glacis
COPY --from=build /build/glacis /usr/local/bin/glacis
USER 10025:10025
VOLUME /var/lib/glacis
EXPOSE 25 8025
STOPSIGNAL SIGTERM
# No HTTP client is in the image; bash speaks enough of it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \
    CMD ["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8025 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && IFS= read -r status <&3 && [[ $status == *' 200 '* ]]"]
ENTRYPOINT ["/usr/local/bin/glacis"]
CMD ["run"]
