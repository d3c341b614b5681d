# syntax=docker/dockerfile:1
# One static binary in an empty image, run by a user who is nobody.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/tollgate ./cmd/tollgate \
 && mkdir -p /out/data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/tollgate /tollgate
# A named volume takes over owner and mode of this folder: the user may write.
COPY --from=build --chown=65532:65532 --chmod=700 /out/data /data
USER 65532:65532
VOLUME /data
WORKDIR /etc/tollgate
EXPOSE 9191 8180 9192
ENTRYPOINT ["/tollgate"]
CMD ["serve", "--config", "/etc/tollgate/tollgate.yaml"]
