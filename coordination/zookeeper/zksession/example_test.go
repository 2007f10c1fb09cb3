package zksession_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/perennial-io/perennial/coordination/zookeeper/zksession"
)

// A process that may write while a node has the version that it gave it: whoever comes later gives it another, and
// finds nothing written after that, whatever the first believes.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	s, err := zksession.Start(ctx, zksession.Config{Servers: servers(ensemble.Connect())})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()

	open := zk.WorldACL(zk.PermAll)
	for _, path := range []string{"/example", "/example/epoch", "/example/state"} {
		if err := s.Ensure(ctx, path, open); err != nil {
			log.Fatal(err)
		}
	}
	epoch, err := s.Get(ctx, "/example/epoch")
	if err != nil {
		log.Fatal(err)
	}
	mine := epoch.Stat.Version + 1
	fmt.Println("taken:", s.Multi(ctx, zksession.Set("/example/epoch", []byte("me"), epoch.Stat.Version)))
	fmt.Println("written:", s.Multi(ctx, zksession.Check("/example/epoch", mine), zksession.Set("/example/state", []byte("1"), zksession.AnyVersion)))

	// Another takes it.
	fmt.Println("taken:", s.Multi(ctx, zksession.Set("/example/epoch", []byte("somebody"), mine)))
	err = s.Multi(ctx, zksession.Check("/example/epoch", mine), zksession.Set("/example/state", []byte("2"), zksession.AnyVersion))
	fmt.Println("written:", err, zksession.Refused(err, 0, zk.ErrBadVersion))
	// Output:
	// taken: <nil>
	// written: <nil>
	// taken: <nil>
	// written: op 0 of a multi: zk: version conflict true
}
