;; Finds the rows of a page whose int8 values are likest to a query. `bun run generate` makes scan-module.ts of it.
;;
;; A page is an array of float32 scales, one for each row, and an array of rows of `stride` int8 values each; stride is a multiple of 32. The
;; query is `stride` int16 values. A row's score is the dot product of its values and the query's, times its scale. The sum is exact: whoever makes
;; the query keeps it small enough that no sum of products leaves 32 bits. A row whose scale is no number has no score.
;;
;; The best are kept in a heap: k float32 scores, the least of them first and each not above those at twice its place plus one and plus two, and
;; behind them k int32 slots. It goes on from page to page; before the first all its scores are minus infinity.
(module
  (import "shared" "memory" (memory 1 65536 shared))

  (func (export "scan")
    (param $rows i32) (param $scales i32) (param $count i32) (param $stride i32)
    (param $query i32) (param $heap i32) (param $k i32) (param $slot i32)
    (local $end i32) (local $q i32) (local $rowEnd i32) (local $values v128)
    (local $a v128) (local $b v128) (local $c v128) (local $d v128)
    (local $score f32) (local $place i32) (local $child i32) (local $at i32) (local $other f32)
    (local.set $end (i32.add (local.get $scales) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $each
        (br_if $done (i32.ge_u (local.get $scales) (local.get $end)))

        (local.set $a (v128.const i32x4 0 0 0 0))
        (local.set $b (v128.const i32x4 0 0 0 0))
        (local.set $c (v128.const i32x4 0 0 0 0))
        (local.set $d (v128.const i32x4 0 0 0 0))
        (local.set $q (local.get $query))
        (local.set $rowEnd (i32.add (local.get $rows) (local.get $stride)))
        (loop $products
          (local.set $values (v128.load (local.get $rows)))
          (local.set $a (i32x4.add (local.get $a) (i32x4.dot_i16x8_s
            (i16x8.extend_low_i8x16_s (local.get $values)) (v128.load (local.get $q)))))
          (local.set $b (i32x4.add (local.get $b) (i32x4.dot_i16x8_s
            (i16x8.extend_high_i8x16_s (local.get $values)) (v128.load offset=16 (local.get $q)))))
          (local.set $values (v128.load offset=16 (local.get $rows)))
          (local.set $c (i32x4.add (local.get $c) (i32x4.dot_i16x8_s
            (i16x8.extend_low_i8x16_s (local.get $values)) (v128.load offset=32 (local.get $q)))))
          (local.set $d (i32x4.add (local.get $d) (i32x4.dot_i16x8_s
            (i16x8.extend_high_i8x16_s (local.get $values)) (v128.load offset=48 (local.get $q)))))
          (local.set $q (i32.add (local.get $q) (i32.const 64)))
          (local.set $rows (i32.add (local.get $rows) (i32.const 32)))
          (br_if $products (i32.lt_u (local.get $rows) (local.get $rowEnd))))

        (local.set $a (i32x4.add
          (i32x4.add (local.get $a) (local.get $b))
          (i32x4.add (local.get $c) (local.get $d))))
        (local.set $score (f32.mul
          (f32.convert_i32_s (i32.add
            (i32.add (i32x4.extract_lane 0 (local.get $a)) (i32x4.extract_lane 1 (local.get $a)))
            (i32.add (i32x4.extract_lane 2 (local.get $a)) (i32x4.extract_lane 3 (local.get $a)))))
          (f32.load (local.get $scales))))

        ;; Takes the place of the least that is kept, if it is above that, and sinks to where it belongs.
        (if (f32.gt (local.get $score) (f32.load (local.get $heap)))
          (then
            (local.set $place (i32.const 0))
            (block $placed
              (loop $sink
                (local.set $child (i32.add (i32.shl (local.get $place) (i32.const 1)) (i32.const 1)))
                (br_if $placed (i32.ge_u (local.get $child) (local.get $k)))
                (local.set $at (i32.add (local.get $heap) (i32.shl (local.get $child) (i32.const 2))))
                (local.set $other (f32.load (local.get $at)))
                (if (i32.lt_u (i32.add (local.get $child) (i32.const 1)) (local.get $k))
                  (then
                    (if (f32.lt (f32.load offset=4 (local.get $at)) (local.get $other))
                      (then
                        (local.set $child (i32.add (local.get $child) (i32.const 1)))
                        (local.set $at (i32.add (local.get $at) (i32.const 4)))
                        (local.set $other (f32.load (local.get $at)))))))
                (br_if $placed (f32.ge (local.get $other) (local.get $score)))
                (call $put (local.get $heap) (local.get $k) (local.get $place) (local.get $other)
                  (i32.load (i32.add (local.get $at) (i32.shl (local.get $k) (i32.const 2)))))
                (local.set $place (local.get $child))
                (br $sink)))
            (call $put (local.get $heap) (local.get $k) (local.get $place) (local.get $score) (local.get $slot))))

        (local.set $scales (i32.add (local.get $scales) (i32.const 4)))
        (local.set $slot (i32.add (local.get $slot) (i32.const 1)))
        (br $each))))

  ;; Writes a score and its slot at a place of the heap.
  (func $put (param $heap i32) (param $k i32) (param $place i32) (param $score f32) (param $slot i32)
    (local.set $place (i32.add (local.get $heap) (i32.shl (local.get $place) (i32.const 2))))
    (f32.store (local.get $place) (local.get $score))
    (i32.store (i32.add (local.get $place) (i32.shl (local.get $k) (i32.const 2))) (local.get $slot))))
