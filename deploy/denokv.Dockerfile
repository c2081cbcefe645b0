# denokv, the KV Connect server, from its published source. Building it takes some minutes, once.
# docker build --file deploy/denokv.Dockerfile --tag perch-denokv deploy
FROM rust:1-bookworm AS build
RUN apt-get update \
  && apt-get install --yes --no-install-recommends protobuf-compiler \
  && rm -rf /var/lib/apt/lists/*
RUN cargo install denokv --locked --version 0.14.0 --root /opt/denokv

FROM debian:bookworm-slim
COPY --from=build /opt/denokv/bin/denokv /usr/local/bin/denokv
RUN useradd --uid 10002 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin denokv \
  && install --directory --owner=denokv --group=denokv --mode=0700 /data
USER denokv
ENV DENO_KV_SQLITE_PATH=/data/denokv.sqlite3
VOLUME /data
EXPOSE 4512
# The token comes in DENO_KV_ACCESS_TOKEN.
ENTRYPOINT ["denokv"]
CMD ["serve", "--addr", "0.0.0.0:4512"]
