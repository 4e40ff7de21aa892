FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG RELEASE=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.release=${RELEASE}" -o /bot ./cmd/bot

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /bot /bot
WORKDIR /data
ENTRYPOINT ["/bot"]
CMD ["serve"]
