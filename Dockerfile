# byway alone: one static binary, a user that is not root, nothing else.
#
#     docker build -t byway --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) .
#     docker build -t byway-net --target net .      # iproute2 and nftables, for config/kubernetes/node-local
FROM debian:bookworm-slim AS net
RUN apt-get update \
    && apt-get install -y --no-install-recommends iproute2 nftables \
    && rm -rf /var/lib/apt/lists/*

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends libcap2-bin musl-tools \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /usr/src/byway
COPY . .
# Of the last commit, for the same octets each time.
ARG SOURCE_DATE_EPOCH
RUN rustup target add "$(uname -m)-unknown-linux-musl" && packages/build static
# What the image holds. The binary may have port 53 where the container may, and starts as well where it may not.
RUN mkdir -p /image/usr/bin /image/etc/byway/conf.d /image/var/lib/byway /image/run/byway \
    && install -m 755 "target/packages/byway-$(uname -m)" /image/usr/bin/byway \
    && setcap cap_net_bind_service=p /image/usr/bin/byway \
    && echo 'byway:x:65532:65532:byway:/:/usr/bin/byway' >/image/etc/passwd \
    && echo 'byway:x:65532:' >/image/etc/group \
    && chown 65532:65532 /image/var/lib/byway /image/run/byway

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENV STATE_DIRECTORY=/var/lib/byway RUNTIME_DIRECTORY=/run/byway
EXPOSE 53/udp 53/tcp 19153/tcp
HEALTHCHECK --interval=10s --timeout=5s CMD ["/usr/bin/byway", "query", "localhost"]
ENTRYPOINT ["/usr/bin/byway"]
# Clients are outside: the private networks may ask. The configuration is /etc/byway/byway.toml, where one is mounted.
CMD ["run", "--listen=0.0.0.0:53"]
