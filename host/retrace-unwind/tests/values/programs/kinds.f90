module m
 type pt
  integer :: x
  real(8) :: y
 end type
contains
subroutine test(n, a, s, b)
  integer :: n, i
  real :: a(n)
  integer :: b(:,:)
  character(len=*) :: s
  logical :: l
  complex :: c
  type(pt) :: p
  integer, allocatable :: al(:), un(:)
  character(len=5) :: fs
  integer, dimension(2,3) :: m2
  integer, pointer :: ip
  l = .true.; c = (1.0, 2.0); p%x = 1; p%y = 2.5d0; fs = "abc"; m2 = 7; m2(1,2)=8; i=4
  allocate(al(3)); al = 5
  nullify(ip)
  ip = 3
end subroutine
end module
program t
 use m
 real :: a(3) = (/1.0, 2.0, 3.0/)
 integer :: b(2,2) = reshape((/1,2,3,4/), (/2,2/))
 call test(3, a, "hello", b)
end program
