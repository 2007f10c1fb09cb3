package client_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/perennial-io/perennial/client"
)

// Submit a job's directory to a cluster and follow it to its end, whoever leads meanwhile.
func Example() {
	ctx := context.Background()
	c := client.New(client.Fixed("localhost:8081", "localhost:8082", "localhost:8083"))
	defer c.Close()

	cluster, err := c.Cluster(ctx)
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "job-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	binary, err := client.Build(ctx, "./examples/wordcount", dir, cluster)
	if err != nil {
		log.Fatal(err)
	}
	artifact, err := c.Upload(ctx, binary)
	if err != nil {
		log.Fatal(err)
	}
	job, err := c.Submit(ctx, client.Spec{
		ID: client.NewID(), Name: "wordcount", Artifact: artifact,
		Args: []string{"--input", "/var/log", "--output", "/tmp/counts"},
	})
	if err != nil {
		log.Fatal(err)
	}
	job, err = c.Wait(ctx, job.ID, time.Second, func(j client.Job) { fmt.Println(j.State) })
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ended:", job.State, job.Failure)
}
