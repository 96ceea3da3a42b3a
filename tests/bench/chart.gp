# What does not depend on the data; page.py adds that.
set title "Cost of each peer for the same work; ours is 1"
set logscale x
set xtics nomirror (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
set ytics scale 0
set grid xtics ytics lt 1 lw 1 lc rgb "#d0d0d0"
set border 1
set key outside bottom center horizontal maxcols 3 samplen 1
set arrow from first 1, graph 0 to first 1, graph 1 nohead lw 2 lc rgb "#333333"
