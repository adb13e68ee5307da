-- What Lua's interpreter needs of a C library: memory, numbers, text, files, time, errors, long jumps.
package.path = "/?.lua"
local primes = require "primes"

print(_VERSION, #arg .. " arguments", arg[1], arg[2])
print("primes: " .. table.concat(primes(50), " "))
print(string.format("%.10f %5d %q", math.pi, 42, "quoted\n"))
print("2^53 + 1 = " .. (1 << 53) + 1, "1 / 0 = " .. 1 / 0, "7 % -3 = " .. 7 % -3)

local words = {}
for word in io.open("/main.lua"):read("a"):gmatch("%a+") do
    words[word] = (words[word] or 0) + 1
end
print("this file has the word print " .. words.print .. " times")

local file = assert(io.open("/tmp/numbers", "w"))
for i = 1, 1000 do file:write(i, "\n") end
file:close()
local sum = 0
for line in io.lines("/tmp/numbers") do sum = sum + tonumber(line) end
print("sum of a file of 1000 numbers: " .. sum)

local ping = coroutine.wrap(function(n) while true do n = coroutine.yield(n * n) end end)
print("coroutine: " .. ping(3) .. " " .. ping(4))
print("error: " .. select(2, pcall(function() local nothing; return nothing.field end)))

local before = collectgarbage("count")
for i = 1, 2000 do local garbage = { string.rep("x", 1000) } end
collectgarbage()
print("garbage is collected: " .. tostring(collectgarbage("count") < before + 100))
print("too much memory: " .. select(2, pcall(string.rep, "x", 100 * 1024 * 1024)))
