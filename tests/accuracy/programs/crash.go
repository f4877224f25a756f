// Ends in the way that its argument names. GOTRACEBACK=crash lets the run-time abort.
package main

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

type item struct {
	name  string
	price int
	tags  []string
	next  *item
}

type weigher interface{ weigh(scale int) int }

//go:noinline
func (i *item) weigh(scale int) int {
	total := len(i.name) * scale
	return total + i.price
}

//go:noinline
func bySegv(depth int, label string) int {
	var last *item
	first := &item{name: label, price: 3, tags: []string{"a", "b"}, next: last}
	sum := 0
	for at := first; ; at = at.next {
		var w weigher = at
		sum += w.weigh(depth)
	}
}

//go:noinline
func byPanic(index int, ratio float64) int {
	numbers := []int{1, 2, 3}
	half := ratio / 2
	return numbers[index] + int(half)
}

//go:noinline
func byMap(key string) int {
	var ages map[string]int
	ages[key] = 4
	return len(ages)
}

//go:noinline
func byDefer(value int) (result int) {
	defer func() {
		result = value * 2
		panic(fmt.Sprint("again ", strings.Repeat("x", value)))
	}()
	return byPanic(value+5, 1.5)
}

//go:noinline
func byClosure(limit int) int {
	count := 0
	visit := func(value int) int {
		count += value
		if count > limit {
			return bySegv(count, "closure")
		}
		return count
	}
	for i := 0; ; i++ {
		visit(i)
	}
}

//go:noinline
func byRecursion(depth int, pad [32]int) int {
	pad[depth%32] = depth
	return byRecursion(depth+1, pad) + pad[0]
}

func byRoutines(count int) int {
	var lock sync.Mutex
	var group sync.WaitGroup
	lock.Lock()
	for i := 0; i < count; i++ {
		group.Add(1)
		go func(id int) {
			defer group.Done()
			if id%2 == 0 {
				lock.Lock()
			} else {
				time.Sleep(time.Hour)
			}
		}(i)
	}
	time.Sleep(100 * time.Millisecond)
	return bySegv(count, "routines")
}

func main() {
	how := ""
	if len(os.Args) > 1 {
		how = os.Args[1]
	}
	switch how {
	case "segv":
		fmt.Println(bySegv(len(os.Args), "pen"))
	case "panic":
		fmt.Println(byPanic(len(os.Args)+5, 2.5))
	case "map":
		fmt.Println(byMap("bob"))
	case "defer":
		fmt.Println(byDefer(len(os.Args)))
	case "closure":
		fmt.Println(byClosure(10))
	case "recursion":
		fmt.Println(byRecursion(0, [32]int{}))
	case "routines":
		fmt.Println(byRoutines(6))
	default:
		fmt.Fprintln(os.Stderr, "not crashed:", how)
		os.Exit(2)
	}
}
