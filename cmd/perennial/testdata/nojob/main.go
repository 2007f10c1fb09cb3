// Nojob is a program that is no job.
package main

import "fmt"

func main() { fmt.Println("hello") }
