-- Make a checkpoint ours to write: a former owner that does not know that it lost the partition can change it no more.
-- KEYS: checkpoint. ARGV: generation. Returns the stream's epoch and the offset up to which it holds, or nil when it is none.
local held = redis.call('HMGET', KEYS[1], 'generation', 'stream', 'offset')
if tonumber(held[1] or '0') <= tonumber(ARGV[1]) then
  redis.call('HSET', KEYS[1], 'generation', ARGV[1])
end
if not held[2] or not held[3] then
  return nil
end
return { held[2], held[3] }
