-- Primes up to a limit.
return function(limit)
    local composite, found = {}, {}
    for i = 2, limit do
        if not composite[i] then
            found[#found + 1] = i
            for j = i * i, limit, i do composite[j] = true end
        end
    end
    return found
end
