package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"google.golang.org/grpc/codes"
	pb "google.golang.org/grpc/examples/helloworld/helloworld"
	"google.golang.org/grpc/status"
)

// greeter greets those who call, and counts them.
type greeter struct {
	pb.UnimplementedGreeterServer
	db *bbolt.DB
}

func (g *greeter) SayHello(_ context.Context, in *pb.HelloRequest) (*pb.HelloReply, error) {
	err := g.db.Update(func(tx *bbolt.Tx) error {
		guests, err := tx.CreateBucketIfNotExists([]byte("guests"))
		if err != nil {
			return err
		}
		_, err = guests.NextSequence()
		return err
	})
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &pb.HelloReply{Message: "Hello " + in.GetName()}, nil
}

// openDatabase opens the file. While another process has it open, it waits, until ctx
// ends.
func openDatabase(ctx context.Context, file string) (*bbolt.DB, error) {
	for {
		db, err := bbolt.Open(file, 0o600, &bbolt.Options{Timeout: 100 * time.Millisecond})
		switch {
		case err == nil:
			return db, nil
		case !errors.Is(err, bbolterrors.ErrTimeout):
			return nil, fmt.Errorf("open %s: %w", file, err)
		case ctx.Err() != nil:
			return nil, fmt.Errorf("open %s: %w", file, context.Cause(ctx))
		}
	}
}
