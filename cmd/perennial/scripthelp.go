package main

// What the scripts of bin/ print for --help, and their manual pages.

const environmentHelp = `
Environment:
  PERENNIAL_CONF_DIR   configuration (default: conf, beside bin)
  PERENNIAL_DATA_DIR   where processes are started, so that relative paths of the configuration are in it (var, beside bin)
  PERENNIAL_LOG_DIR    logs (log, in the data directory)
  PERENNIAL_PID_DIR    pid files (run, in the data directory)
`

const sshHelp = `  PERENNIAL_SSH_OPTS   options of ssh, separated by blanks
`

const jobManagerHelp = `Starts and stops JobManagers on this host.

Usage:
  jobmanager.sh start|start-foreground|stop|status [HOST] [REST-PORT] [-D key=value]...
  jobmanager.sh stop-all

  start             start one more. HOST and REST-PORT are how others reach it; without them, what the configuration says
                    (with high availability, the second on a host has the next port)
  start-foreground  become the JobManager: for containers and systemd
  stop              stop the newest, or the one that was started with HOST and REST-PORT; the exit status is 1 if there is none
  stop-all          stop all that this user started on this host
  status            list them; the exit status is 1 if none runs
` + environmentHelp

const taskManagerHelp = `Starts and stops TaskManagers on this host.

Usage:
  taskmanager.sh start|start-foreground|stop|status [HOST] [-D key=value]...
  taskmanager.sh stop --drain [--force] [--timeout 1h] [HOST]
  taskmanager.sh stop-all

  start             start one more; HOST is how other TaskManagers reach it. The second on a host works in the directory
                    taskmanager.dir with -2 behind it, and so on
  start-foreground  become the TaskManager: for containers and systemd
  stop              stop the newest, or the newest that was started with HOST. With --drain jobs leave it first, each from a
                    checkpoint that is taken for it; that is refused if there are too few slots elsewhere, and then nothing
                    is stopped. With --force as well, jobs stop there at once, and wait for slots. After --timeout, an hour
                    unless it says otherwise, it waits no longer; the drain goes on, and the TaskManager ends by itself
  stop-all          stop all that this user started on this host
  status            list them; the exit status is 1 if none runs
` + environmentHelp

const zooKeeperHelp = `Starts and stops servers of conf/zoo.cfg on this host.

Usage:
  zookeeper.sh start|start-foreground|stop|status N
  zookeeper.sh stop-all

  N is that of a line server.N=host:peer-port:election-port of zoo.cfg. The server's file myid is written, and what zoo.cfg
  leaves out is filled in. Java is found by JAVA_HOME, or in PATH; JVMFLAGS and SERVER_JVMFLAGS are options for it.
` + environmentHelp

const startClusterHelp = `Starts the processes of the cluster that do not run.

Usage:
  start-cluster.sh [-D key=value]...

  Without high availability, one JobManager on this host; with it, one for each line of conf/masters. Then a TaskManager for each
  line of conf/workers. Other hosts are reached by ssh, without a question, and have the distribution at the same path. A host
  that fails is named, the others go on, and the exit status is 1. Started again, it starts what is missing.
` + environmentHelp + sshHelp

const stopClusterHelp = `Stops what start-cluster.sh started.

Usage:
  stop-cluster.sh [--cancel-jobs] [-D key=value]...

  --cancel-jobs     cancel all jobs first. Without it they are kept, and go on at the next start

  What else this user runs on these hosts is named, and left.
  A host that fails is named, the others go on, and the exit status is 1.
` + environmentHelp + sshHelp

const startQuorumHelp = `Starts the ZooKeeper servers of conf/zoo.cfg that do not run, each on its host.

Usage:
  start-zookeeper-quorum.sh

  Other hosts are reached by ssh, without a question, and have the distribution at the same path. A host that fails is named, the
  others go on, and the exit status is 1. Stop it with stop-zookeeper-quorum.sh.
` + environmentHelp + sshHelp

const stopQuorumHelp = `Stops the ZooKeeper servers of conf/zoo.cfg, each on its host.

Usage:
  stop-zookeeper-quorum.sh
` + environmentHelp + sshHelp
