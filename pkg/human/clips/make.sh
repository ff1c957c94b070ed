#!/bin/sh
# Makes the spoken digits of the picture's other way: 8 kHz, 8 bits, one channel, silence cut off.
# Needs Debian's espeak-ng and sox. Run it in its folder; the clips are committed.
set -eu
speak() { # language voice word digit
	espeak-ng -v "$2" -s 130 -p 45 --stdout "$3" |
		sox -t wav - -r 8000 -c 1 -b 8 -e unsigned-integer "$1-$4.wav" \
			norm -4 silence 1 0.01 1% reverse silence 1 0.01 1% reverse pad 0.01 0.01
}
n=0
for word in zero one two three four five six seven eight nine; do
	speak en en-us "$word" $n
	n=$((n + 1))
done
n=0
for word in cero uno dos tres cuatro cinco seis siete ocho nueve; do
	speak es es "$word" $n
	n=$((n + 1))
done
