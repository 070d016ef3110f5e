# syntax=docker/dockerfile:1
# A static binary in an empty image; nothing else to patch.
FROM rust:1-alpine AS build
RUN apk add --no-cache musl-dev gcc
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY tests tests
COPY benches benches
COPY examples examples
RUN cargo build --release --locked --bin mintgate \
 && mkdir -p /out/etc/mintgate \
 && cp target/release/mintgate /out/mintgate

FROM scratch
COPY --from=build /out/mintgate /mintgate
# Numeric, so that a cluster can check that it is not root; the data directory must belong to it.
COPY --from=build --chown=65532:65532 /out/etc/mintgate /etc/mintgate
USER 65532:65532
WORKDIR /etc/mintgate
VOLUME ["/etc/mintgate"]
EXPOSE 8080
ENV MINTGATE_CONFIG=/etc/mintgate/mintgate.toml
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/mintgate", "health"]
ENTRYPOINT ["/mintgate"]
CMD ["serve"]
