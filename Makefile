.PHONY: build test
build:
	go build -o bin/bot ./cmd/bot
test:
	go test ./...
