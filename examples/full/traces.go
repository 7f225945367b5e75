package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// traces are written in batches, every few seconds: without Shutdown the last ones are
// lost.
type traces struct {
	trace.Tracer
	provider *sdktrace.TracerProvider
	file     *os.File
}

func openTraces(path string) (*traces, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(file))
	if err != nil {
		_ = file.Close() // the first error says more
		return nil, fmt.Errorf("traces: %w", err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	return &traces{Tracer: provider.Tracer("guestbook"), provider: provider, file: file}, nil
}

// Shutdown writes what is in memory and closes the file.
func (t *traces) Shutdown(ctx context.Context) error {
	return errors.Join(t.provider.Shutdown(ctx), t.file.Close())
}
